"""What people put right: how much an edit matters, which corrections recur, what rule follows from them.

Belongs here: the noun corrections. Not here: which feedback makes a correction (examples/candidates.py), SQL (storage/corrections.py).
"""
