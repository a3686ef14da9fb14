"""The ways to learn from feedback about retrieval, one per file, each a Learner of task.py.

Belongs here: learners and what they share. Not here: which are tried and what is done with the winner (training.py), the gate, SQL.
"""
