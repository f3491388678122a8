"""SQL for schema `fleet` in a Postgres database that partners share: a view per report over all of them, with a column `partner`.

An administrator runs it once, and again after a partner was added or the pipeline was upgraded. It is one transaction.

The views read through a function that looks up the partners' tables when it is called. So no object depends on a partner's
tables, which every nightly run replaces and which nobody else may build on (`neighbours.py`); a partner whose tables are
missing, or lack a column, breaks nothing. The function runs with the rights of whoever asks.

A partner's role may put anything in its schemas. Code of its own (of a view, a policy, a type, an index's expression) would run
with the asker's rights, so a table that could bring any is left out: the function looks at each table, locked, every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from debitura_pipeline.warehouse.postgres.neighbours import pg_literal
from debitura_pipeline.warehouse.postgres.roles import roles_of

ROLE, SCHEMA = "debitura_fleet", "fleet"
MARK = "Views over all partners of the Debitura pipeline"
OPS = ("incidents", "syncs")  # of schema ops, beside all reports


@dataclass(frozen=True)
class FleetSchemas:
    """One partner's schemas: those with its prefix that one of its roles owns. Any role could have created schemas with such names.

    `is_unique`: no other partner has this prefix. `roles`: those that its addresses name, beside its own (`roles.py`). Partners
    may share them, so they count where the prefix tells whose the schemas are.
    """

    partner: str
    prefix: str
    is_unique: bool
    roles: tuple[str, ...] = ()

    @property
    def owners(self) -> list[str]:
        """The roles that may own the schemas."""
        named = self.roles if self.is_unique and self.prefix else ()
        return [*dict.fromkeys((*roles_of(self.partner)[:2], *named))]


def fleet_script(partners: Sequence[FleetSchemas]) -> str:
    """The script for these partners, of which it takes those whose schemas are in the database that it is run in."""
    values = (",\n" + 16 * " ").join(
        f"({pg_literal(one.partner)}, {pg_literal(one.prefix)}, ARRAY[{', '.join(map(pg_literal, one.owners))}])"
        for one in partners
    )
    return _SCRIPT.format(
        role=ROLE,
        schema=SCHEMA,
        mark=pg_literal(MARK),
        partners=values,
        count=len(partners),
        ops=", ".join(map(pg_literal, OPS)),
    )


_SCRIPT = """\
-- Schema {schema}: a view per report over all partners in this database, with a column `partner`, for those who look after all of
-- them. Run as an administrator, connected to the database that the partners share. Run it again after a partner was added, had its
-- first nightly run, or the pipeline was upgraded. Then give {role} a password (\\password {role} in psql), or grant it
-- to those who may read all partners.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;

DO $check$
BEGIN
    -- A role that may create schemas could have made one of that name to be there first.
    IF EXISTS (
        SELECT FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
        WHERE n.nspname = '{schema}' AND (obj_description(n.oid, 'pg_namespace') IS DISTINCT FROM {mark}
            OR NOT (r.rolsuper OR r.rolname = current_user))
    ) THEN
        RAISE EXCEPTION 'Schema {schema} is there, and was not created by this script. Nothing was changed.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {role}', current_database());
END
$check$;

CREATE SCHEMA IF NOT EXISTS {schema};
COMMENT ON SCHEMA {schema} IS {mark};
REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
GRANT USAGE ON SCHEMA {schema} TO {role};

CREATE TABLE IF NOT EXISTS {schema}.members (partner text PRIMARY KEY, prefix text NOT NULL);
ALTER TABLE {schema}.members ADD COLUMN IF NOT EXISTS owners text[] NOT NULL DEFAULT '{{}}';
COMMENT ON TABLE {schema}.members IS
    'One row per partner in this database: its name, the prefix of its schemas, and the roles of which one owns them.';
DELETE FROM {schema}.members;

DO $members$
DECLARE
    thing record;
BEGIN
    FOR thing IN
        SELECT p.partner, p.prefix, p.owners, n.nspname, pg_get_userbyid(n.nspowner) AS owner
        FROM (
            VALUES
                {partners}
        ) AS p(partner, prefix, owners)
        JOIN pg_namespace AS n ON n.nspname IN (p.prefix || 'reports', p.prefix || 'ops')
        ORDER BY p.partner, n.nspname DESC
    LOOP
        -- A name alone does not tell whose a schema is: each role of dbt may create some.
        IF NOT thing.owner = ANY (thing.owners) THEN
            RAISE WARNING 'Partner %: schema % is left out. Its owner is %, and none of: %.',
                thing.partner, thing.nspname, thing.owner, array_to_string(thing.owners, ', ');
        ELSIF thing.nspname = thing.prefix || 'reports' THEN
            INSERT INTO {schema}.members VALUES (thing.partner, thing.prefix, thing.owners);
        END IF;
    END LOOP;
END
$members$;

-- Why a table is not read, or null. Reading it must run nothing that its owner wrote. A view, a policy and a type can bring code
-- of their own, and so can expressions that the planner evaluates: of indexes, of statistics, of partitions and their constraints.
CREATE OR REPLACE FUNCTION {schema}.fault_of(relation oid) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $fault$
    SELECT CASE
        WHEN c.relkind <> 'r' THEN 'is not an ordinary table'
        WHEN c.relrowsecurity THEN 'has row-level security'
        WHEN c.relhassubclass OR EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
            THEN 'has partitions or is one, or inherits'
        WHEN EXISTS (
            SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND t.typnamespace <> 'pg_catalog'::regnamespace
        ) THEN 'has a column whose type is not one of Postgres''s own'
        WHEN EXISTS (
            SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
        ) THEN 'has an index on an expression, or on a part of its rows'
        WHEN EXISTS (SELECT FROM pg_statistic_ext AS s WHERE s.stxrelid = c.oid AND 'e' = ANY (s.stxkind))
            THEN 'has statistics on an expression'
    END
    FROM pg_class AS c WHERE c.oid = relation
$fault$;

-- Rows of one table of all partners. A column that a partner's table lacks is null, and a partner without the table has no rows,
-- like one whose table has a fault. It is locked before it is looked at, so that nobody puts another one in its place meanwhile.
-- VOLATILE: each statement sees the catalog as it is by then.
CREATE OR REPLACE FUNCTION {schema}.rows_of(layer text, relation text, columns text[], types text[]) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp SET row_security = off SET constraint_exclusion = off AS $rows$
DECLARE
    member record;
    chosen text;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'Schema {schema} is read at isolation level READ COMMITTED only.'
            USING HINT = 'A transaction with an older snapshot cannot see whether a table has been replaced since.';
    END IF;
    FOR member IN
        SELECT m.partner, n.nspname, c.oid FROM {schema}.members AS m
        JOIN pg_namespace AS n ON n.nspname = m.prefix || layer AND pg_get_userbyid(n.nspowner) = ANY (m.owners)
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = relation
        WHERE has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
            AND {schema}.fault_of(c.oid) IS NULL
        ORDER BY m.partner
    LOOP
        EXECUTE format('LOCK TABLE ONLY %I.%I IN ACCESS SHARE MODE', member.nspname, relation);
        SELECT c.oid INTO member.oid FROM {schema}.members AS m
        JOIN pg_namespace AS n ON n.nspname = member.nspname AND pg_get_userbyid(n.nspowner) = ANY (m.owners)
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = relation
        WHERE m.partner = member.partner AND {schema}.fault_of(c.oid) IS NULL;
        CONTINUE WHEN NOT FOUND;
        SELECT string_agg(
            format('CAST(%s AS %s)', CASE WHEN a.attname IS NULL THEN 'NULL' ELSE quote_ident(w.name) END, w.type), ', '
            ORDER BY w.place
        ) INTO chosen
        FROM unnest(columns, types) WITH ORDINALITY AS w(name, type, place)
        LEFT JOIN pg_attribute AS a
            ON a.attrelid = member.oid AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped;
        RETURN QUERY EXECUTE format('SELECT %L::text, %s FROM ONLY %I.%I', member.partner, chosen, member.nspname, relation);
    END LOOP;
END
$rows$;
REVOKE ALL ON FUNCTION {schema}.rows_of, {schema}.fault_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {schema}.rows_of, {schema}.fault_of TO {role};

DO $views$
#variable_conflict use_column
DECLARE
    thing record;
BEGIN
    FOR thing IN
        SELECT string_agg(format('{schema}.%I', relname), ', ') AS views FROM pg_class
        WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'v' HAVING count(*) > 0
    LOOP
        EXECUTE 'DROP VIEW ' || thing.views;
    END LOOP;
    -- Reports of all partners, and what of ops says how they stand. USAGE on reports is carried over to each night's tables.
    FOR thing IN
        SELECT n.nspname, n.nspname = m.prefix || 'reports' AS is_reports FROM {schema}.members AS m
        JOIN pg_namespace AS n ON n.nspname IN (m.prefix || 'reports', m.prefix || 'ops')
            AND pg_get_userbyid(n.nspowner) = ANY (m.owners)
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {role}', thing.nspname);
        IF thing.is_reports THEN
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO {role}', thing.nspname);
        END IF;
    END LOOP;
    FOR thing IN
        SELECT n.nspname, c.relname FROM {schema}.members AS m
        JOIN pg_namespace AS n ON n.nspname = m.prefix || 'ops' AND pg_get_userbyid(n.nspowner) = ANY (m.owners)
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN ({ops})
    LOOP
        EXECUTE format('GRANT SELECT ON %I.%I TO {role}', thing.nspname, thing.relname);
    END LOOP;
    FOR thing IN
        SELECT m.partner, n.nspname, c.relname, {schema}.fault_of(c.oid) AS fault FROM {schema}.members AS m
        JOIN pg_namespace AS n ON n.nspname IN (m.prefix || 'reports', m.prefix || 'ops')
            AND pg_get_userbyid(n.nspowner) = ANY (m.owners)
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND (n.nspname = m.prefix || 'reports' OR c.relname IN ({ops}))
        WHERE {schema}.fault_of(c.oid) IS NOT NULL ORDER BY m.partner, n.nspname, c.relname
    LOOP
        RAISE WARNING 'Partner %: %.% is left out. It %.', thing.partner, thing.nspname, thing.relname, thing.fault;
    END LOOP;
    -- The columns that any partner has, by name; a type that holds all of theirs.
    FOR thing IN
        WITH found AS (
            SELECT layer.name AS layer, c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod) AS type,
                t.typcategory = 'N' AS is_number, count(*) OVER (PARTITION BY c.oid) AS width
            FROM {schema}.members AS m
            CROSS JOIN (VALUES ('reports'), ('ops')) AS layer(name)
            JOIN pg_namespace AS n ON n.nspname = m.prefix || layer.name AND pg_get_userbyid(n.nspowner) = ANY (m.owners)
            JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind = 'r' AND {schema}.fault_of(c.oid) IS NULL
                AND (layer.name = 'ops') = (c.relname IN ({ops})) AND c.relname NOT IN ('members', 'partners')
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'partner'
            JOIN pg_type AS t ON t.oid = a.atttypid
        ), united AS (
            SELECT layer, relname, attname, max(width * 10000 - attnum) AS place,
                CASE WHEN min(type) = max(type) THEN min(type) WHEN bool_and(is_number) THEN 'numeric' ELSE 'text' END AS type
            FROM found GROUP BY layer, relname, attname
        )
        SELECT layer, relname, array_agg(attname::text ORDER BY place DESC, attname) AS columns,
            array_agg(type ORDER BY place DESC, attname) AS types,
            string_agg(format('%I %s', attname, type), ', ' ORDER BY place DESC, attname) AS described
        FROM united GROUP BY layer, relname
    LOOP
        EXECUTE format(
            'CREATE VIEW {schema}.%I AS SELECT * FROM {schema}.rows_of(%L, %L, %L, %L) AS found(partner text, %s)',
            thing.relname, thing.layer, thing.relname, thing.columns, thing.types, thing.described
        );
    END LOOP;
    -- Each partner's last complete reading, as its own page has it. Null: never read as a whole.
    IF to_regclass('{schema}.syncs') IS NOT NULL THEN
        CREATE VIEW {schema}.partners AS
        WITH last AS (
            SELECT DISTINCT ON (partner, resource) partner, resource, as_of, is_proven FROM {schema}.syncs
            WHERE status = 'done' AND coalesce(mode, '') <> 'client'
            ORDER BY partner, resource, started_at DESC, finished_at DESC
        )
        SELECT m.partner, m.prefix,
            CASE WHEN count(l.resource) = 3 THEN min(l.as_of) END AS as_of,
            CASE WHEN count(l.resource) = 3 THEN bool_and(coalesce(l.is_proven, false)) END AS is_proven,
            coalesce((
                SELECT has_schema_privilege(n.oid, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = m.prefix || 'reports'
            ), false) AS is_readable
        FROM {schema}.members AS m LEFT JOIN last AS l ON l.partner = m.partner GROUP BY m.partner, m.prefix;
    END IF;
    GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};
    RAISE NOTICE 'Schema {schema} has % of % partners and % views.', (SELECT count(*) FROM {schema}.members),
        {count}, (
            SELECT count(*) FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'v'
        );
END
$views$;

COMMIT;
"""
