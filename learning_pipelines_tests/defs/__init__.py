"""Tests of Dagster's view of the project: what is defined, what assets do with real rows, what sensors and schedules ask for.

Not here: processes (test_end_to_end.py), the command line (test_cli.py), rules that need no Dagster (the nouns' folders).
"""
