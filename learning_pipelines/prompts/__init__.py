"""Prompts that get measurably better: what one is, scoring, strategies that propose, the race between candidates, the registry.

Belongs here: the noun prompts, free of dagster and SQL. Not here: the gate a winner must pass (acceptance/), storing (storage/).
"""
