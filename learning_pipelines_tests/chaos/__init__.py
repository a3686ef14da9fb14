"""The whole system under load while its parts are killed and its disk fills up, and what must hold afterwards: `make chaos`.

Belongs here: the harness (world, load, blows, watch, invariants, report), its own tests, state machines of what may happen in any order. Not here:
faults of one part by itself (api/test_crash.py, storage/test_embedded.py, retrieval/test_training_killed.py).
"""
