"""All SQL of the project: server, roles, migrations, and one module per table family.

Nothing here decides anything about learning: storage takes plain values, keeps them, and gives them back.
"""
