"""Erasures of persons: what was asked, how far it is, what came of it; and what is due for retraining because of one.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0047"
down_revision = "0049"
branch_labels = None
depends_on = None

# Who it is about is in the row only until it is done; what stays is a fingerprint, which whoever knows the name can compare and nobody can read.
ERASURES = """
CREATE TABLE learning.erasures (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'erasing', 'done')),
    user_id uuid,
    external_id text,
    tombstone text NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    rows_gone_at timestamptz,
    done_at timestamptz,
    touched jsonb NOT NULL DEFAULT '{}',
    files jsonb NOT NULL DEFAULT '[]',
    certificate jsonb,
    PRIMARY KEY (organization_id, id),
    CHECK ((state = 'done') = (certificate IS NOT NULL)),
    CHECK (state <> 'done' OR user_id IS NULL AND external_id IS NULL)
);
CREATE UNIQUE INDEX erasures_under_way ON learning.erasures (organization_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX erasures_fingerprint ON learning.erasures (organization_id, fingerprint);
SELECT learning.protect('learning.erasures', 'admin', 'admin');
REVOKE UPDATE ON learning.erasures FROM learning_api;
DROP POLICY api_update ON learning.erasures;

-- Of whom an erasure was asked for, and when last: whoever authenticates a person looks here, before any role is known.
CREATE TABLE learning.erased_names (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    asked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, fingerprint)
);
SELECT learning.protect('learning.erased_names', 'member', 'admin');
"""

# What was learnt with a person's words and does not hold them: the next run of its job trains, whatever its thresholds say, and takes the mark away.
RETRAINING = """
CREATE TABLE learning.retraining_due (
    organization_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    kind text NOT NULL,
    erasure_id uuid NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, agent_id, kind, erasure_id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, erasure_id) REFERENCES learning.erasures
);
SELECT learning.protect('learning.retraining_due', 'trainer', 'none');
"""


# Audit entries and prompt versions only grow. Whom they name is the exception, for whoever erases a person.
NAMES = """
GRANT UPDATE (actor, subject_id, before_hash, after_hash) ON learning.audit_log TO learning_pipeline;
GRANT UPDATE (created_by) ON learning.prompt_versions TO learning_pipeline;
"""
NAMES_BACK = """
REVOKE UPDATE (actor, subject_id, before_hash, after_hash) ON learning.audit_log FROM learning_pipeline;
REVOKE UPDATE (created_by) ON learning.prompt_versions FROM learning_pipeline;
"""


def upgrade() -> None:
    op.execute(ERASURES)
    op.execute(RETRAINING)
    op.execute(NAMES)


def downgrade() -> None:
    op.execute(NAMES_BACK)
    op.execute("DROP TABLE learning.retraining_due, learning.erased_names, learning.erasures")
