"""Curation: duplicate clusters, conflicts, quality scores, reliability of experts.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

DUPLICATES = """
-- What an input looks like to the search for near-duplicates (examples/sketches.py), so that a newcomer is compared with all earlier
-- inputs without reading one of them. number: 0, 1, … in order of arrival per agent; cluster: the lowest number in its cluster;
-- rule: under which settings it was searched; nearest: cosine to the nearest other input (NULL without an encoder).
CREATE TABLE learning.example_sketches (
    organization_id uuid NOT NULL,
    example_id text NOT NULL,
    agent_id uuid NOT NULL,
    number bigint NOT NULL,
    cluster bigint NOT NULL,
    rule text NOT NULL,
    input_hash bytea NOT NULL,
    sketch bytea NOT NULL,
    nearest real,
    is_rare boolean NOT NULL DEFAULT false,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, example_id),
    UNIQUE (organization_id, agent_id, number),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX example_sketches_cluster ON learning.example_sketches (organization_id, agent_id, cluster);
SELECT learning.protect('learning.example_sketches', 'expert|trainer', 'none');

-- One vector per example and encoder: a change of the encoder adds, and going back to the former one costs nothing.
CREATE TABLE learning.example_embeddings (
    organization_id uuid NOT NULL,
    encoder text NOT NULL,
    example_id text NOT NULL,
    agent_id uuid NOT NULL,
    embedding halfvec NOT NULL,
    PRIMARY KEY (organization_id, encoder, example_id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX example_embeddings_example ON learning.example_embeddings (organization_id, example_id);
SELECT learning.protect('learning.example_embeddings', 'none', 'none');

-- Near-duplicate pairs, first_id < second_id: every pair of a cluster that is small enough to be listed (examples/clusters.py).
CREATE TABLE learning.duplicate_links (
    organization_id uuid NOT NULL,
    first_id text NOT NULL,
    second_id text NOT NULL,
    agent_id uuid NOT NULL,
    similarity real NOT NULL CHECK (similarity BETWEEN 0 AND 1.001),
    leg text NOT NULL DEFAULT 'text' CHECK (leg IN ('text', 'embedding')),
    PRIMARY KEY (organization_id, first_id, second_id),
    CHECK (first_id < second_id),
    FOREIGN KEY (organization_id, first_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, second_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX duplicate_links_second ON learning.duplicate_links (organization_id, second_id);
CREATE INDEX duplicate_links_agent ON learning.duplicate_links (organization_id, agent_id);
SELECT learning.protect('learning.duplicate_links', 'expert|trainer', 'none');

-- Clusters of two or more active examples, and who is in them.
CREATE VIEW learning.duplicate_clusters WITH (security_invoker = true) AS
SELECT s.organization_id, s.agent_id, s.cluster, count(*)::integer AS size, array_agg(s.example_id ORDER BY s.number) AS example_ids
FROM learning.example_sketches s JOIN learning.learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
WHERE e.is_active AND e.review_status <> 'rejected'
GROUP BY s.organization_id, s.agent_id, s.cluster HAVING count(*) > 1;
GRANT SELECT ON learning.duplicate_clusters TO learning_pipeline, learning_api;

-- Two examples with the same or a near-duplicate input that contradict each other. The hashes are those of the outputs that were
-- compared: once one of them changes, the conflict is no longer what was found.
CREATE TABLE learning.example_conflicts (
    organization_id uuid NOT NULL,
    first_id text NOT NULL,
    second_id text NOT NULL,
    agent_id uuid NOT NULL,
    reason text NOT NULL,
    first_output bytea NOT NULL,
    second_output bytea NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'dismissed', 'resolved')),
    found_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    settled_by uuid,
    notes text,
    PRIMARY KEY (organization_id, first_id, second_id),
    CHECK (first_id < second_id),
    FOREIGN KEY (organization_id, first_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, second_id) REFERENCES learning.learning_examples ON DELETE CASCADE,
    FOREIGN KEY (organization_id, settled_by) REFERENCES learning.users
);
CREATE INDEX example_conflicts_open ON learning.example_conflicts (organization_id, agent_id) WHERE status = 'open';
CREATE INDEX example_conflicts_second ON learning.example_conflicts (organization_id, second_id);
SELECT learning.protect('learning.example_conflicts', 'expert|trainer', 'expert');
"""


def upgrade() -> None:
    op.execute(DUPLICATES)


def downgrade() -> None:
    op.execute("""
    DROP VIEW learning.duplicate_clusters;
    DROP TABLE learning.example_conflicts, learning.duplicate_links, learning.example_embeddings, learning.example_sketches;
    """)
