"""What other tools say about an agent's work, in our words: Langfuse scores, Phoenix annotations, MLflow assessments, OTLP traces.

Nothing but this description belongs here: import the module you need.
"""
