"""Experiments: who gets which variant, what their values say so far, what follows from it, and rollouts in steps.

Belongs here: the noun experiments. Not here: SQL (storage/), assets and jobs (defs/), what serves (api/), what may be approved (acceptance/).
"""
