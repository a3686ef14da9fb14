"""Tests of learning_pipelines.demo, one file per module.

Nothing but this description belongs here.
"""
