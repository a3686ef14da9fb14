"""Sessions that people ended; the service looks at the schema's version with its own login.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0052"
down_revision = "0050"
branch_labels = None
depends_on = None

# A session is a signed token, so ending it is remembered until it would have ended by itself. Of the token a hash: nobody can make it again.
ENDED = """
CREATE TABLE learning.ended_sessions (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    session_hash bytea NOT NULL CHECK (octet_length(session_hash) = 32),
    ends_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, session_hash)
);
CREATE INDEX ended_sessions_ends_at ON learning.ended_sessions (ends_at);
SELECT learning.protect('learning.ended_sessions', 'member', 'member');
"""


def upgrade() -> None:
    op.execute(ENDED)
    op.execute("GRANT SELECT ON learning.alembic_version TO learning_api")


def downgrade() -> None:
    op.execute("REVOKE SELECT ON learning.alembic_version FROM learning_api")
    op.execute("DROP TABLE learning.ended_sessions")
