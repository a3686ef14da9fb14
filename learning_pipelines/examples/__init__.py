"""Belongs here: how feedback becomes reviewed examples and datasets (duplicates, splits, quality, review, export).
Not here: SQL (storage), HTTP (api), Dagster (defs)."""
