"""Belongs here: how feedback becomes reviewed examples and datasets (duplicates, splits, quality, review, export).
Does not belong here: SQL (storage), HTTP (api), Dagster (defs)."""
