"""The feedback service over HTTP: routes per noun, authentication, limits.

Nothing but this description belongs here: import the module you need.
"""
