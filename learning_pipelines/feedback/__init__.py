"""What people say about an agent's work: capture, privacy, trust, statistics and issues.

Nothing but this description belongs here: import the module you need.
"""
