"""Benchmarks: figures for the README, printed with the machine they were taken on.

Nothing here is collected as a test.
"""
