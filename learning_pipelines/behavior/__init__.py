"""Behaviour learnt from experts: demonstrations, patterns and playbooks, next-action policies, corrections, fine-tuning.

Belongs here: the noun behavior. Not here: SQL (storage/), assets and jobs (defs/), what serves it (api/).
"""
