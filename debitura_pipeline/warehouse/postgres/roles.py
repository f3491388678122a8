"""SQL for three Postgres roles with least privilege, printed by `debitura doctor --grant-sql`.

An administrator runs it once. It is one transaction, and changes nothing if the pipeline's schemas hold objects that the
pipeline did not create. If the database has other content, the rights of PUBLIC stay unchanged.
"""

from __future__ import annotations

from typing import NamedTuple

from debitura_pipeline.settings import declared
from debitura_pipeline.warehouse.postgres.neighbours import MARK, foreign_objects_sql, pg_literal
from debitura_pipeline.warehouse.postgres.schemas import DBT_SCHEMAS, SCHEMAS, Schemas

PIPELINE, DBT, ANALYST = "debitura_pipeline", "debitura_dbt", "debitura_analyst"


class Roles(NamedTuple):
    """The names of the three roles of a warehouse."""

    pipeline: str
    dbt: str
    analyst: str


def roles_of(partner: str | None) -> Roles:
    """With a partners file, each partner's own: a role of one has no right in another one's schemas."""
    ending = "" if partner is None else f"_{partner.replace('-', '_')}"
    return Roles(*(f"{role}{ending}" for role in (PIPELINE, DBT, ANALYST)))


def grant_sql(schemas: Schemas, partner: str | None = None) -> str:
    """The script for the schemas of one warehouse. `partner`: whose it is, with a partners file."""
    named = {schema: schemas.named(schema) for schema in SCHEMAS}
    roles = roles_of(partner)
    places = declared.WAREHOUSE, declared.DBT_URL, declared.SCHEMA_PREFIX
    warehouse, dbt_url, prefix = (
        f"{each.name}=" if partner is None else f"{each.key} of {partner}: " for each in places
    )
    return _SCRIPT.format(
        **roles._asdict(),
        warehouse=warehouse,
        dbt_url=dbt_url,
        mark=pg_literal(MARK),
        strangers=foreign_objects_sql(schemas, roles[:2]).strip().replace("\n", "\n        "),
        all=", ".join(map(pg_literal, schemas.all())),
        five=", ".join(map(pg_literal, named.values())),
        written=", ".join(pg_literal(named[schema]) for schema in SCHEMAS if schema not in DBT_SCHEMAS),
        prefix_note=f" and {prefix}{schemas.prefix}" if schemas.prefix else "",
        **named,
    )


_SCRIPT = """\
-- Roles for the Debitura pipeline. Run as an administrator, connected to the warehouse's database; running it again does no
-- harm. Then give each role a password (\\password {pipeline} in psql), and set
--   {warehouse}postgresql://{pipeline}:...@host/db{prefix_note}
--   {dbt_url}postgresql://{dbt}:...@host/db
-- It stops, and nothing is changed, where the pipeline's schemas contain objects that the pipeline did not create.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $roles$
#variable_conflict use_column
DECLARE
    a_role text;
    thing record;
    strangers text[] := ARRAY(
        {strangers}
    );
BEGIN
    IF cardinality(strangers) > 0 THEN
        RAISE EXCEPTION 'The pipeline''s schemas contain objects that it did not create: %. Nothing was changed.',
            array_to_string(strangers[1:20], ', ')
            || CASE WHEN cardinality(strangers) > 20 THEN format(' and %s more', cardinality(strangers) - 20) ELSE '' END
            USING HINT = 'Set DEBITURA_SCHEMA_PREFIX (deb_, for example), use a separate database, or move them elsewhere.';
    END IF;

    FOREACH a_role IN ARRAY ARRAY['{pipeline}', '{dbt}', '{analyst}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = a_role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', a_role);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), a_role);
    END LOOP;
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {pipeline}, {dbt}', current_database());
    -- dbt builds in new schemas, which then take the old ones' places.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO {dbt}', current_database());

    -- In a database of its own nobody else needs any right. Others' are left alone.
    IF NOT EXISTS (
        SELECT FROM pg_namespace AS n
        WHERE n.nspname NOT IN ({all}) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND (n.nspname <> 'public' OR EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'))
    ) THEN
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
        IF to_regnamespace('public') IS NOT NULL THEN
            REVOKE ALL ON SCHEMA public FROM PUBLIC;
        END IF;
    END IF;

    -- The schemas, and what another role of the pipeline has made in them before. All of it is known to be the pipeline's.
    FOREACH a_role IN ARRAY ARRAY[{five}] LOOP
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', a_role);
        EXECUTE format('COMMENT ON SCHEMA %I IS %L', a_role, {mark});
    END LOOP;
    FOR thing IN
        SELECT n.nspname AS schema, CASE WHEN n.nspname IN ({written}) THEN '{pipeline}' ELSE '{dbt}' END AS role
        FROM pg_namespace AS n WHERE n.nspname IN ({all})
    LOOP
        EXECUTE format('ALTER SCHEMA %I OWNER TO %I', thing.schema, thing.role);
    END LOOP;
    FOR thing IN
        SELECT n.nspname AS schema, c.relname AS relation,
            CASE WHEN n.nspname IN ({written}) THEN '{pipeline}' ELSE '{dbt}' END AS role
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'v') AND n.nspname IN ({all})
    LOOP
        EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', thing.schema, thing.relation, thing.role);
    END LOOP;
    FOR thing IN
        SELECT p.oid::regprocedure AS function FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname IN ({all})
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO {dbt}', thing.function);
    END LOOP;
END
$roles$;

-- dbt reads what the pipeline wrote.
GRANT USAGE ON SCHEMA {raw}, {ops} TO {dbt};
GRANT SELECT ON ALL TABLES IN SCHEMA {raw}, {ops} TO {dbt};
ALTER DEFAULT PRIVILEGES FOR ROLE {pipeline} IN SCHEMA {raw}, {ops} GRANT SELECT ON TABLES TO {dbt};

-- The pipeline reads what dbt made, for its page, its checks and the published files; analysts read the marts and reports.
-- Everyone who may use a schema may read the tables of each new nightly run.
GRANT USAGE ON SCHEMA {staging}, {marts}, {reports} TO {pipeline};
GRANT SELECT ON ALL TABLES IN SCHEMA {staging}, {marts}, {reports} TO {pipeline};
GRANT USAGE ON SCHEMA {marts}, {reports} TO {analyst};
GRANT SELECT ON ALL TABLES IN SCHEMA {marts}, {reports} TO {analyst};
-- The swap waits for readers; a forgotten transaction must not keep it waiting.
ALTER ROLE {analyst} SET idle_in_transaction_session_timeout = '5min';

COMMIT;
"""
