"""Tenancy: who the current organization, user and role are, how a table is protected, organizations, users, agents.

Belongs here: one forward step and its way back. Not here: data that users own.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CONTEXT = """
-- An organization's id follows from its slug: uniqueness of slugs needs no key beside the primary one, and whoever
-- knows the slug (an API key carries it) can set the organization before reading a single row.
CREATE FUNCTION learning.organization_id(slug text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT md5('learning_pipelines/organization/' || slug)::uuid $$;

-- After a transaction-local set_config the setting is '' on that pooled connection: both count as unset, and unset raises.
CREATE FUNCTION learning.current_organization_id() RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    value text := current_setting('app.current_organization_id', true);
BEGIN
    IF value IS NULL OR value = '' THEN
        RAISE EXCEPTION 'no organization is set for this transaction'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Set app.current_organization_id with set_config(…, true) first.';
    END IF;
    RETURN value::uuid;
END $$;

CREATE FUNCTION learning.current_user_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.current_user_id', true), '')::uuid $$;

-- Least privilege where nothing is set: a person with role user, who sees only their own rows.
CREATE FUNCTION learning.has_role(wanted text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT wanted = 'user' OR coalesce(nullif(current_setting('app.current_role', true), ''), 'user') IN (wanted, 'admin')
$$;

-- An API key stands for the application (app.current_principal = application) and sees its organization's rows;
-- a person with role user sees their own.
CREATE FUNCTION learning.sees_everyone() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting('app.current_role', true), ''), 'user') <> 'user'
        OR coalesce(current_setting('app.current_principal', true), '') = 'application'
$$;
"""

PROTECT = """
-- What a rule name means as a condition of the API role, beside the organization.
CREATE FUNCTION learning.rule_condition(rule text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE rule
        WHEN 'member' THEN 'true'
        WHEN 'own' THEN '((SELECT learning.sees_everyone()) OR user_id = (SELECT learning.current_user_id()))'
        ELSE (SELECT '(' || string_agg(format('(SELECT learning.has_role(%L))', role), ' OR ') || ')'
              FROM unnest(string_to_array(rule, '|')) AS role)
    END;
END $$;

-- Enables and forces row-level security and gives each role its own policy. `reads` and `writes` are 'none', 'member', 'own'
-- or roles joined by '|'. The gate `(SELECT …) IS NOT NULL` is evaluated once per statement even when no row is read, so an
-- unset organization raises on an empty table too.
CREATE FUNCTION learning.protect(target regclass, reads text, writes text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tenant constant text := '(SELECT learning.current_organization_id()) IS NOT NULL'
        ' AND organization_id = (SELECT learning.current_organization_id())';
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY owner_all ON %s TO learning_owner USING (true) WITH CHECK (true)', target);
    EXECUTE format('CREATE POLICY pipeline_all ON %s TO learning_pipeline USING (true) WITH CHECK (true)', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO learning_pipeline', target);
    IF reads <> 'none' THEN
        EXECUTE format('CREATE POLICY api_read ON %s FOR SELECT TO learning_api USING (%s AND %s)',
                       target, tenant, learning.rule_condition(reads));
        EXECUTE format('GRANT SELECT ON %s TO learning_api', target);
    END IF;
    IF writes <> 'none' THEN
        EXECUTE format('CREATE POLICY api_insert ON %s FOR INSERT TO learning_api WITH CHECK (%s AND %s)',
                       target, tenant, learning.rule_condition(writes));
        EXECUTE format('CREATE POLICY api_update ON %s FOR UPDATE TO learning_api USING (%s AND %s) WITH CHECK (%s AND %s)',
                       target, tenant, learning.rule_condition(writes), tenant, learning.rule_condition(writes));
        EXECUTE format('GRANT INSERT, UPDATE ON %s TO learning_api', target);
    END IF;
END $$;

-- A partition addressed by name is not covered by its parent's policies: it gets security of its own and no grants.
CREATE FUNCTION learning.protect_partition(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY owner_all ON %s TO learning_owner USING (true) WITH CHECK (true)', target);
END $$;

-- Makes the month partitions of `parent` from the month of `first` on; existing ones stay. Returns how many were made.
CREATE FUNCTION learning.make_partitions(parent text, first date, months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    month date;
    child text;
    made integer := 0;
BEGIN
    FOR offset_months IN 0 .. months - 1 LOOP
        month := (date_trunc('month', first) + make_interval(months => offset_months))::date;
        child := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
        IF to_regclass('learning.' || quote_ident(child)) IS NULL THEN
            EXECUTE format('CREATE TABLE learning.%I PARTITION OF learning.%I FOR VALUES FROM (%L) TO (%L)', child, parent,
                           month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
            PERFORM learning.protect_partition(('learning.' || quote_ident(child))::regclass);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;
"""

TABLES = """
CREATE TABLE learning.organizations (
    organization_id uuid PRIMARY KEY,
    slug text NOT NULL CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text,
    settings jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (organization_id = learning.organization_id(slug))
);
SELECT learning.protect('learning.organizations', 'member', 'none');

CREATE TABLE learning.users (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL,
    external_id text NOT NULL CHECK (char_length(external_id) BETWEEN 1 AND 255),
    role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'expert', 'trainer', 'experimenter', 'admin')),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, external_id)
);
SELECT learning.protect('learning.users', 'member', 'member');

CREATE TABLE learning.agents (
    organization_id uuid NOT NULL REFERENCES learning.organizations,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    slug text NOT NULL CHECK (slug ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$' AND position('...' IN slug) = 0),
    name text,
    system_prompt text,
    model text,
    domain text,
    metric jsonb,
    labels text[],
    context jsonb NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, slug)
);
SELECT learning.protect('learning.agents', 'member', 'admin');
"""


def upgrade() -> None:
    op.execute(CONTEXT)
    op.execute(PROTECT)
    op.execute("GRANT USAGE ON SCHEMA learning TO learning_api, learning_pipeline")
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("""
    DROP TABLE learning.agents, learning.users, learning.organizations;
    DROP FUNCTION learning.make_partitions, learning.protect_partition, learning.protect, learning.rule_condition,
        learning.sees_everyone, learning.has_role, learning.current_user_id, learning.current_organization_id,
        learning.organization_id(text);
    """)
