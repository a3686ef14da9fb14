"""The one gate that every learnt change passes: paired tests on held-out items, α spent over runs, verdicts, proposals, approval.

Belongs here: deciding whether a change is better, and what follows. Not here: making changes (prompts/, retrieval/, behavior/).
"""
