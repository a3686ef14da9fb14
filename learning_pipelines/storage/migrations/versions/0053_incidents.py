"""Checks and jobs that failed, by organization, for the weekly report; what is in force is looked up by execution whatever the statistics say.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

import importlib

from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None

capture = importlib.import_module("learning_pipelines.storage.migrations.versions.0002_capture")
withdrawn = importlib.import_module("learning_pipelines.storage.migrations.versions.0041_withdrawn_feedback")

# A check is one incident from the run in which it began to fail until it passes; a run that failed is over at once. The row of kind 'watch' says from when
# to when runs of the organization were looked at: before and after it a count of 0 would be made up. Names, partitions and ids of runs, nobody's words.
INCIDENTS = """
CREATE TABLE learning.incidents (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    kind text NOT NULL CHECK (kind IN ('check', 'run', 'watch')),
    name text NOT NULL,
    partition_key text NOT NULL DEFAULT '',
    run_id text NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= began_at),
    PRIMARY KEY (organization_id, kind, name, partition_key, run_id),
    CHECK (kind = 'check' OR ended_at IS NOT NULL)
);
CREATE UNIQUE INDEX incidents_open ON learning.incidents (organization_id, kind, name, partition_key) WHERE ended_at IS NULL;
SELECT learning.protect('learning.incidents', 'none', 'none');
"""

# As an equality the rater can be looked up by (organization_id, user_id, created_at), too. In a partition without statistics, as a new month's is, that index
# looks smaller than the execution's, and each feedback of somebody who said much reads everything they said since. This condition only the latter serves.
_BY_EITHER, _BY_EXECUTION = "s.user_id = f.user_id", "s.user_id IS NOT DISTINCT FROM f.user_id"
_AS_BEFORE = capture.IN_FORCE.replace(withdrawn._PLAIN, withdrawn._WITHDRAWN)


def upgrade() -> None:
    assert _BY_EITHER in _AS_BEFORE
    op.execute(INCIDENTS)
    op.execute("DROP VIEW learning.feedback_in_force")
    op.execute(_AS_BEFORE.replace(_BY_EITHER, _BY_EXECUTION))


def downgrade() -> None:
    op.execute("DROP VIEW learning.feedback_in_force")
    op.execute(_AS_BEFORE)
    op.execute("DROP TABLE learning.incidents")
