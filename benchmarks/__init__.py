"""Benchmarks: figures for the README, each with the machine, the seed and the version it was taken on.

`make bench` runs all of them at small sizes, `make bench-NAME` one in full; registry.py says which there are, what each measures and what it needs.
A result is a file below results/ (record.py); the README's table is made of these files (table.py). Nothing here is collected as a test.
"""
