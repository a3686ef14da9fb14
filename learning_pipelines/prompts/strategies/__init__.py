"""Ways to propose prompts, one file each.

Belongs here: strategies (the protocol is in prompts/task.py). Not here: trying candidates out (search.py).
"""
