"""Dagster's view of the project: resources, partitions, one file per noun, jobs, schedules, sensors, maintenance.

The only folder (beside definitions.py) that imports dagster. Nothing here computes: bodies read, call a noun, and report.
"""

import warnings

# Single-run backfills are marked beta in the pinned minor version; the warning says nothing to whoever runs this.
warnings.filterwarnings("ignore", message=r"Parameter `backfill_policy`.* is currently in beta")
