"""Search: postings of chunks in immutable segments, which chunks changed since, vectors found by an index.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0022"
down_revision = "0030"
branch_labels = None
depends_on = None

# A segment is never changed but for `removed`; small ones are merged into new ones, so its number stands for its bytes. It holds chunks of one
# agent (NULL: shared) and of no edit or of one. Bytes are little-endian: lengths int32, ordinals uint16, counts one, two or four bytes each,
# removed uint16. Postings are not compressed: they are read at every query, and hardly get smaller.
SEGMENTS = """
CREATE SEQUENCE learning.lexical_numbers;
GRANT USAGE ON SEQUENCE learning.lexical_numbers TO learning_pipeline;

CREATE TABLE learning.lexical_states (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    analyzer text NOT NULL, -- of the segments that are searched
    building text, -- of those that are made to take their place
    told_by bigint NOT NULL DEFAULT 0, -- how many chunks there were when the language was told from them
    PRIMARY KEY (organization_id)
);
SELECT learning.protect('learning.lexical_states', 'member', 'none');

CREATE TABLE learning.lexical_segments (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    number bigint NOT NULL DEFAULT nextval('learning.lexical_numbers'),
    analyzer text NOT NULL,
    agent_id uuid,
    edit_id uuid,
    chunks integer NOT NULL CHECK (chunks BETWEEN 1 AND 65536),
    lengths bytea NOT NULL,
    removed bytea NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, number)
);
SELECT learning.protect('learning.lexical_segments', 'member', 'none');

CREATE TABLE learning.lexical_postings (
    organization_id uuid NOT NULL,
    segment bigint NOT NULL,
    term text NOT NULL,
    ordinals bytea NOT NULL,
    counts bytea NOT NULL,
    PRIMARY KEY (organization_id, segment, term),
    FOREIGN KEY (organization_id, segment) REFERENCES learning.lexical_segments ON DELETE CASCADE
);
ALTER TABLE learning.lexical_postings ALTER COLUMN ordinals SET STORAGE EXTERNAL, ALTER COLUMN counts SET STORAGE EXTERNAL;
ALTER TABLE learning.lexical_segments ALTER COLUMN lengths SET STORAGE EXTERNAL, ALTER COLUMN removed SET STORAGE EXTERNAL;
SELECT learning.protect('learning.lexical_postings', 'member', 'none');

CREATE TABLE learning.lexical_members (
    organization_id uuid NOT NULL,
    segment bigint NOT NULL,
    ordinal integer NOT NULL,
    chunk_id text NOT NULL,
    PRIMARY KEY (organization_id, segment, ordinal),
    FOREIGN KEY (organization_id, segment) REFERENCES learning.lexical_segments ON DELETE CASCADE
);
CREATE INDEX lexical_members_chunk ON learning.lexical_members (organization_id, chunk_id);
SELECT learning.protect('learning.lexical_members', 'member', 'none');
"""

# Chunks that came, went or changed since the segments were made; whoever refreshes deletes what it saw, so nothing that commits meanwhile is lost.
CHANGES = """
CREATE TABLE learning.lexical_changes (
    organization_id uuid NOT NULL,
    id bigint NOT NULL DEFAULT nextval('learning.lexical_numbers'),
    chunk_id text NOT NULL,
    PRIMARY KEY (organization_id, id)
);
SELECT learning.protect('learning.lexical_changes', 'none', 'none');

CREATE FUNCTION learning.chunks_came_or_went() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.lexical_changes (organization_id, chunk_id) SELECT organization_id, id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER chunks_came AFTER INSERT ON learning.knowledge_chunks
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.chunks_came_or_went();
CREATE TRIGGER chunks_went AFTER DELETE ON learning.knowledge_chunks
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.chunks_came_or_went();

CREATE FUNCTION learning.chunks_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO learning.lexical_changes (organization_id, chunk_id)
    SELECT n.organization_id, n.id FROM changed n JOIN former o ON o.organization_id = n.organization_id AND o.id = n.id
    WHERE (o.agent_id, o.edit_id, o.is_active, o.content_hash) IS DISTINCT FROM (n.agent_id, n.edit_id, n.is_active, n.content_hash);
    RETURN NULL;
END $$;
CREATE TRIGGER chunks_changed AFTER UPDATE ON learning.knowledge_chunks
    REFERENCING OLD TABLE AS former NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION learning.chunks_changed();
INSERT INTO learning.lexical_changes (organization_id, chunk_id) SELECT organization_id, id FROM learning.knowledge_chunks;
"""

# An index of vectors has one length. These are those of common encoders (384: the packaged one); others are searched exactly.
DIMENSIONS = (384, 512, 768, 1024)


def upgrade() -> None:
    op.execute(SEGMENTS)
    op.execute(CHANGES)
    for length in DIMENSIONS:
        op.execute(f"""
        CREATE INDEX chunk_embeddings_{length} ON learning.chunk_embeddings USING hnsw ((embedding::halfvec({length})) halfvec_ip_ops)
            WHERE vector_dims(embedding) = {length}
        """)


def downgrade() -> None:
    for length in DIMENSIONS:
        op.execute(f"DROP INDEX learning.chunk_embeddings_{length}")
    op.execute("""
    DROP TRIGGER chunks_changed ON learning.knowledge_chunks;
    DROP TRIGGER chunks_went ON learning.knowledge_chunks;
    DROP TRIGGER chunks_came ON learning.knowledge_chunks;
    DROP FUNCTION learning.chunks_changed, learning.chunks_came_or_went;
    DROP TABLE learning.lexical_changes, learning.lexical_members, learning.lexical_postings, learning.lexical_segments, learning.lexical_states;
    DROP SEQUENCE learning.lexical_numbers;
    """)
