"""Erasing a person: their words and what was made of them, everywhere, with a certificate of what was done.

Belongs here: the order of the steps, what each noun's things become without the person. Not here: SQL (storage/erasure_*.py), routes, verbs, jobs.
"""
