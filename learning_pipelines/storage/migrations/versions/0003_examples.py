"""Examples: what is learnt from, where it comes from, its review, its permanent split, and datasets.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

EXAMPLES = """
CREATE TABLE learning.demonstrations (
    organization_id uuid NOT NULL,
    id text NOT NULL,
    agent_id uuid NOT NULL,
    user_id uuid,
    task_type text,
    task_description text NOT NULL,
    input_state jsonb,
    actions jsonb NOT NULL CHECK (jsonb_typeof(actions) = 'array'),
    reasoning text,
    final_output text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    context jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, user_id) REFERENCES learning.users
);
CREATE INDEX demonstrations_agent_created ON learning.demonstrations (organization_id, agent_id, created_at);
SELECT learning.protect('learning.demonstrations', 'expert|trainer', 'expert');

CREATE TABLE learning.learning_examples (
    organization_id uuid NOT NULL,
    id text NOT NULL,
    agent_id uuid NOT NULL,
    example_type text NOT NULL CHECK (example_type IN
        ('positive', 'negative', 'correction', 'demonstration', 'edge_case', 'failure', 'preference')),
    source_type text NOT NULL CHECK (source_type IN ('user_feedback', 'expert_review', 'automated', 'synthetic', 'imported')),
    source_id text,
    user_id uuid,
    input_context jsonb NOT NULL DEFAULT '{}',
    input_text text NOT NULL,
    original_output text,
    expected_output text,
    output_a text,
    output_b text,
    preferred_output text CHECK (preferred_output IN ('A', 'B')),
    preference_strength smallint CHECK (preference_strength BETWEEN 1 AND 5),
    domain text,
    task_type text,
    complexity smallint CHECK (complexity BETWEEN 1 AND 5),
    jurisdictions text[] NOT NULL DEFAULT '{}',
    tags text[] NOT NULL DEFAULT '{}',
    quality_score double precision CHECK (quality_score BETWEEN 0 AND 1),
    confidence_score double precision CHECK (confidence_score BETWEEN 0 AND 1),
    review_status text NOT NULL DEFAULT 'pending' CHECK (review_status IN
        ('pending', 'in_review', 'approved', 'rejected', 'needs_revision')),
    reviewed_by uuid,
    reviewed_at timestamptz,
    review_notes text,
    times_used_in_training integer NOT NULL DEFAULT 0 CHECK (times_used_in_training >= 0),
    last_used_at timestamptz,
    is_active boolean NOT NULL DEFAULT true,
    content_hash bytea NOT NULL,
    scrub_rules text NOT NULL,
    scrubbed_entities jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, agent_id) REFERENCES learning.agents,
    FOREIGN KEY (organization_id, user_id) REFERENCES learning.users
);
CREATE INDEX learning_examples_agent_review ON learning.learning_examples (organization_id, agent_id, review_status);
CREATE INDEX learning_examples_domain_task ON learning.learning_examples (organization_id, domain, task_type);
CREATE INDEX learning_examples_source_created ON learning.learning_examples (organization_id, source_type, created_at);
CREATE INDEX learning_examples_active ON learning.learning_examples (organization_id, is_active);
CREATE INDEX learning_examples_content ON learning.learning_examples (organization_id, agent_id, content_hash);
CREATE UNIQUE INDEX learning_examples_one_per_content ON learning.learning_examples (organization_id, agent_id, content_hash)
    WHERE source_type = 'user_feedback';
SELECT learning.protect('learning.learning_examples', 'expert|trainer', 'expert');

-- Which feedback supports which derived example, and whose words are in it: lineage, erasure and splits read this.
CREATE TABLE learning.example_sources (
    organization_id uuid NOT NULL,
    example_id text NOT NULL,
    feedback_id text NOT NULL,
    execution_id text NOT NULL,
    user_id uuid,
    input_user_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, feedback_id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX example_sources_example ON learning.example_sources (organization_id, example_id);
CREATE INDEX example_sources_execution ON learning.example_sources (organization_id, execution_id);
SELECT learning.protect('learning.example_sources', 'expert|trainer', 'none');

CREATE TABLE learning.expert_annotations (
    organization_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    example_id text NOT NULL,
    expert_id uuid NOT NULL,
    annotation_type text NOT NULL DEFAULT 'quality_assessment' CHECK (annotation_type IN
        ('quality_assessment', 'correction', 'explanation', 'categorization', 'difficulty_rating')),
    approved boolean,
    technical_accuracy double precision CHECK (technical_accuracy BETWEEN 0 AND 1),
    professional_quality double precision CHECK (professional_quality BETWEEN 0 AND 1),
    completeness double precision CHECK (completeness BETWEEN 0 AND 1),
    clarity double precision CHECK (clarity BETWEEN 0 AND 1),
    corrected_output text,
    notes text,
    improvement_suggestions text,
    is_verified boolean NOT NULL DEFAULT false,
    verified_by uuid,
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples,
    FOREIGN KEY (organization_id, expert_id) REFERENCES learning.users,
    FOREIGN KEY (organization_id, verified_by) REFERENCES learning.users
);
CREATE INDEX expert_annotations_example ON learning.expert_annotations (organization_id, example_id);
CREATE INDEX expert_annotations_expert_created ON learning.expert_annotations (organization_id, expert_id, created_at);
SELECT learning.protect('learning.expert_annotations', 'expert|trainer', 'expert');

-- An example's split is permanent; split NULL means left out for good, with the reason.
CREATE TABLE learning.example_splits (
    organization_id uuid NOT NULL,
    example_id text NOT NULL,
    agent_id uuid NOT NULL,
    split text CHECK (split IN ('train', 'validation', 'test')),
    reason text NOT NULL DEFAULT '',
    assigned_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, example_id),
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples ON DELETE CASCADE
);
CREATE INDEX example_splits_agent ON learning.example_splits (organization_id, agent_id);
SELECT learning.protect('learning.example_splits', 'expert|trainer', 'none');
"""

DATASETS = """
CREATE TABLE learning.training_datasets (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'collecting', 'processing', 'ready', 'in_use', 'archived')),
    agent_ids uuid[] NOT NULL DEFAULT '{}',
    domains text[] NOT NULL DEFAULT '{}',
    task_types text[] NOT NULL DEFAULT '{}',
    total_examples integer NOT NULL DEFAULT 0,
    positive_count integer NOT NULL DEFAULT 0,
    negative_count integer NOT NULL DEFAULT 0,
    correction_count integer NOT NULL DEFAULT 0,
    demonstration_count integer NOT NULL DEFAULT 0,
    edge_case_count integer NOT NULL DEFAULT 0,
    failure_count integer NOT NULL DEFAULT 0,
    preference_count integer NOT NULL DEFAULT 0,
    avg_quality_score double precision CHECK (avg_quality_score BETWEEN 0 AND 1),
    human_verified_percentage double precision CHECK (human_verified_percentage BETWEEN 0 AND 100),
    content_hash bytea NOT NULL,
    recipe jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, name, version)
);
CREATE INDEX training_datasets_content ON learning.training_datasets (organization_id, name, content_hash);
SELECT learning.protect('learning.training_datasets', 'trainer', 'trainer');

CREATE TABLE learning.dataset_examples (
    organization_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    example_id text NOT NULL,
    split text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
    weight double precision NOT NULL DEFAULT 1 CHECK (weight >= 0),
    PRIMARY KEY (organization_id, dataset_id, example_id),
    FOREIGN KEY (organization_id, dataset_id) REFERENCES learning.training_datasets ON DELETE CASCADE,
    FOREIGN KEY (organization_id, example_id) REFERENCES learning.learning_examples
);
CREATE INDEX dataset_examples_dataset ON learning.dataset_examples (organization_id, dataset_id, split);
CREATE INDEX dataset_examples_example ON learning.dataset_examples (organization_id, example_id);
SELECT learning.protect('learning.dataset_examples', 'trainer', 'none');
"""


def upgrade() -> None:
    op.execute(EXAMPLES)
    op.execute(DATASETS)


def downgrade() -> None:
    op.execute("""
    DROP TABLE learning.dataset_examples, learning.training_datasets, learning.example_splits,
        learning.expert_annotations, learning.example_sources, learning.learning_examples, learning.demonstrations;
    """)
