"""Playbooks: how a kind of task is done, in plain language, with the evidence behind each step, and whether following it would have been right.

Belongs here: making, rendering, testing and proposing playbooks. Not here: the patterns themselves (patterns/), SQL (storage/), prompts.
"""
