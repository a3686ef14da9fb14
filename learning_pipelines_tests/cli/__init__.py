"""Tests of the command line as processes: what is typed, printed and returned.

Not here: `up` and the demo (test_end_to_end.py), a server of one's own (test_external_server.py), what the nouns compute.
"""
