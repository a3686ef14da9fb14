"""The archive of old executions and feedback: months of them as Parquet files in the artifact store.

Belongs here: writing, checking, reading, bringing back. Not here: SQL (storage/archive*.py).
"""
