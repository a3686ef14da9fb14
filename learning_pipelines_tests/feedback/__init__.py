"""Tests of learning_pipelines.feedback, one file per module.

Nothing but this description belongs here.
"""
