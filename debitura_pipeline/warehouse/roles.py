"""The SQL for three roles on Postgres, none of them a superuser: who may do what, and no more.

Belongs here: that text. Does not: running it, which an administrator does, once. Printed by `debitura doctor --grant-sql`.
"""

from __future__ import annotations

PIPELINE, DBT, ANALYST = "debitura_pipeline", "debitura_dbt", "debitura_analyst"

GRANT_SQL = f"""\
-- Roles for the Debitura pipeline. Run as an administrator, connected to the warehouse's database; running it again does no
-- harm. Then give each role a password (\\password {PIPELINE} in psql), and set
--   DEBITURA_WAREHOUSE=postgresql://{PIPELINE}:...@host/db
--   DEBITURA_DBT_URL=postgresql://{DBT}:...@host/db
BEGIN;

DO $roles$
DECLARE
    name text;
    thing record;
BEGIN
    FOREACH name IN ARRAY ARRAY['{PIPELINE}', '{DBT}', '{ANALYST}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {PIPELINE}, {DBT}, {ANALYST}', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {PIPELINE}, {DBT}', current_database());
    -- dbt builds in new schemas, which then take the old ones' places.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO {DBT}', current_database());
    -- What another role has made before.
    FOR thing IN
        SELECT n.nspname AS schema, c.relname AS name,
            CASE WHEN n.nspname IN ('raw', 'ops') THEN '{PIPELINE}' ELSE '{DBT}' END AS role
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'v') AND n.nspname ~ '^((raw|ops)|(staging|marts|reports)(__next|__previous|__old)?)$'
    LOOP
        EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', thing.schema, thing.name, thing.role);
    END LOOP;
    FOR thing IN
        SELECT p.oid::regprocedure AS name FROM pg_catalog.pg_proc AS p
        JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname ~ '^marts(__next|__previous|__old)?$'
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO {DBT}', thing.name);
    END LOOP;
    FOR thing IN
        SELECT nspname AS name FROM pg_catalog.pg_namespace
        WHERE nspname ~ '^(staging|marts|reports)(__next|__previous|__old)$'
    LOOP
        EXECUTE format('ALTER SCHEMA %I OWNER TO {DBT}', thing.name);
    END LOOP;
END
$roles$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA IF NOT EXISTS raw;
CREATE SCHEMA IF NOT EXISTS ops;
CREATE SCHEMA IF NOT EXISTS staging;
CREATE SCHEMA IF NOT EXISTS marts;
CREATE SCHEMA IF NOT EXISTS reports;
ALTER SCHEMA raw OWNER TO {PIPELINE};
ALTER SCHEMA ops OWNER TO {PIPELINE};
ALTER SCHEMA staging OWNER TO {DBT};
ALTER SCHEMA marts OWNER TO {DBT};
ALTER SCHEMA reports OWNER TO {DBT};

-- dbt reads what the pipeline wrote.
GRANT USAGE ON SCHEMA raw, ops TO {DBT};
GRANT SELECT ON ALL TABLES IN SCHEMA raw, ops TO {DBT};
ALTER DEFAULT PRIVILEGES FOR ROLE {PIPELINE} IN SCHEMA raw, ops GRANT SELECT ON TABLES TO {DBT};

-- The pipeline reads what dbt made, for its page, its checks and the published files; analysts read the marts and reports.
-- Who may use a schema gets the right to read its tables anew with each night's.
GRANT USAGE ON SCHEMA staging, marts, reports TO {PIPELINE};
GRANT SELECT ON ALL TABLES IN SCHEMA staging, marts, reports TO {PIPELINE};
GRANT USAGE ON SCHEMA marts, reports TO {ANALYST};
GRANT SELECT ON ALL TABLES IN SCHEMA marts, reports TO {ANALYST};
-- The switch to a new night waits for whoever is reading; a forgotten transaction must not keep it waiting.
ALTER ROLE {ANALYST} SET idle_in_transaction_session_timeout = '5min';

COMMIT;
"""
