"""Retrieval: documents become chunks and an index, feedback becomes pairs, pairs become a better index, if and only if the gate says so.

Belongs here: chunking, search, pairs, learning, evaluation, index versions. Not here: SQL (storage/), the gate and approval (acceptance/), assets (defs/).
"""
