"""Dagster's view of the project: resources, partitions, one file per noun, jobs, schedules, sensors, maintenance.

The only folder (beside definitions.py) that imports dagster. Nothing here computes: bodies read, call a noun, and report.
"""

import warnings

# Single-run backfills, and owners of sensors, which Dagster itself passes on, are marked beta in the pinned minor version: that says nothing to whoever
# runs this.
warnings.filterwarnings("ignore", message=r"Parameter `(backfill_policy|owners)`.* is currently in beta")
