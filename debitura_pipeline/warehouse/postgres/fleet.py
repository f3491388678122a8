"""SQL for schema `fleet` in a Postgres database that partners share: a view per report over all of them, with a column `partner`.

An administrator runs it once, and again after a partner was added or the pipeline was upgraded. It is one transaction.

The views read through a function that looks up the partners' tables when it is called. So no object depends on a partner's
tables, which every nightly run replaces and which nobody else may build on (`neighbours.py`); a partner whose tables are
missing, or lack a column, breaks nothing. The function runs with the rights of whoever asks.
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
    """One partner's schemas. `is_unique`: no other partner has this prefix, so that the names tell whose they are.

    Otherwise they are taken for the partner's only where one of its roles (`roles.py`) owns them.
    """

    partner: str
    prefix: str
    is_unique: bool


def fleet_script(partners: Sequence[FleetSchemas]) -> str:
    """The script for these partners, of which it takes those whose schemas are in the database that it is run in."""
    values = ",\n        ".join(
        f"({pg_literal(one.partner)}, {pg_literal(one.prefix)}, {str(one.is_unique and one.prefix != '').lower()}, "
        f"ARRAY[{', '.join(map(pg_literal, roles_of(one.partner)[:2]))}])"
        for one in partners
    )
    return _SCRIPT.format(
        role=ROLE, schema=SCHEMA, mark=pg_literal(MARK), partners=values, ops=", ".join(map(pg_literal, OPS))
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
COMMENT ON TABLE {schema}.members IS 'One row per partner in this database: its name, and the prefix of its schemas.';
DELETE FROM {schema}.members;
-- Whose schemas these are is known by a prefix that one partner alone has, or by their owner.
INSERT INTO {schema}.members
SELECT p.partner, p.prefix
FROM (
    VALUES
        {partners}
) AS p(partner, prefix, is_unique, roles)
JOIN pg_namespace AS n ON n.nspname = p.prefix || 'reports'
WHERE p.is_unique OR pg_get_userbyid(n.nspowner) = ANY (p.roles);

-- Rows of one table of all partners. A column that a partner's table lacks is null, and a partner without the table has no rows.
CREATE OR REPLACE FUNCTION {schema}.rows_of(layer text, relation text, columns text[], types text[]) RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $rows$
DECLARE
    member record;
    chosen text;
BEGIN
    FOR member IN
        SELECT m.partner, n.nspname, c.oid FROM {schema}.members AS m
        JOIN pg_namespace AS n ON n.nspname = m.prefix || layer
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = relation AND c.relkind IN ('r', 'p', 'v', 'm')
        WHERE has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        ORDER BY m.partner
    LOOP
        SELECT string_agg(
            format('CAST(%s AS %s)', CASE WHEN a.attname IS NULL THEN 'NULL' ELSE quote_ident(w.name) END, w.type), ', '
            ORDER BY w.place
        ) INTO chosen
        FROM unnest(columns, types) WITH ORDINALITY AS w(name, type, place)
        LEFT JOIN pg_attribute AS a
            ON a.attrelid = member.oid AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped;
        RETURN QUERY EXECUTE format('SELECT %L::text, %s FROM %I.%I', member.partner, chosen, member.nspname, relation);
    END LOOP;
END
$rows$;
REVOKE ALL ON FUNCTION {schema}.rows_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {schema}.rows_of TO {role};

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
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {role}', thing.nspname);
        IF thing.is_reports THEN
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO {role}', thing.nspname);
        END IF;
    END LOOP;
    FOR thing IN
        SELECT n.nspname, c.relname FROM {schema}.members AS m
        JOIN pg_namespace AS n ON n.nspname = m.prefix || 'ops'
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN ({ops})
    LOOP
        EXECUTE format('GRANT SELECT ON %I.%I TO {role}', thing.nspname, thing.relname);
    END LOOP;
    -- The columns that any partner has, by name; a type that holds all of theirs.
    FOR thing IN
        WITH found AS (
            SELECT layer.name AS layer, c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod) AS type,
                t.typcategory = 'N' AS is_number, count(*) OVER (PARTITION BY c.oid) AS width
            FROM {schema}.members AS m
            CROSS JOIN (VALUES ('reports'), ('ops')) AS layer(name)
            JOIN pg_namespace AS n ON n.nspname = m.prefix || layer.name
            JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm')
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
        (SELECT count(*) FROM (VALUES {partners}) AS p), (
            SELECT count(*) FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'v'
        );
END
$views$;

COMMIT;
"""
