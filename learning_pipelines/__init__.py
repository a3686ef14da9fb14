"""learning_pipelines: agents that get better from use, as a Dagster project.

Nothing but the version belongs here: importing the package must stay free of work.
"""

__version__ = "0.1.0"
