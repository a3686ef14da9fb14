"""What Dagster loads: everything in defs/, run in the process of the run.

Belongs here: the assembly. Not here: any asset, job, schedule or sensor (defs/).
"""

from pathlib import Path

import dagster as dg

from learning_pipelines import tracing
from learning_pipelines.defs.traced import trace_steps
from learning_pipelines.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    folder = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    whole = dg.Definitions.merge(folder, dg.Definitions(executor=dg.in_process_executor))
    return trace_steps(whole) if tracing.wanted(load_settings()) else whole
