"""The next-action policy: what an expert would do next, learnt from demonstrations, with how sure that is.

Belongs here: components, their mixture, calibration, the policy's files, its evaluation. Not here: SQL, jobs (defs/), the gate (acceptance/), routes (api/).
"""
