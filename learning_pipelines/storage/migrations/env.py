"""How Alembic runs here: on the connection that `storage.migrate` hands over, inside schema `learning`.

Belongs here: wiring only. Not here: schema changes (versions/), roles and databases (storage/roles.py).
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="alembic_version", version_table_schema="learning", transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
