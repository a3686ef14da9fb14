"""Language models fine-tuned on what people approved: what is learnt from, local training, jobs of an OpenAI-compatible endpoint, test and proposal.

Belongs here: the work of the job fine_tuning. Not here: SQL (storage/), assets (defs/), prompts (prompts/).
"""
