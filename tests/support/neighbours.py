"""A Postgres database that others use too, and all that is in it, as text to compare.

Belongs here: the others' schemas, of the same names as the pipeline's, and the snapshot. Does not: assertions.
"""

from __future__ import annotations

from typing import Any

import psycopg

# Tables, a view, a function, types and a sequence where the pipeline wants to be; and in `public` what would be taken for
# a built-in function or operator by whoever looks there first.
OTHERS = """
    CREATE SCHEMA raw; CREATE SCHEMA ops; CREATE SCHEMA staging; CREATE SCHEMA marts; CREATE SCHEMA reports;
    CREATE TABLE raw.stripe_charges (id integer, amount numeric);
    INSERT INTO raw.stripe_charges VALUES (1, 9.5);
    CREATE TABLE raw.cases (id integer);
    CREATE TABLE ops.syncs (at timestamptz);
    CREATE SEQUENCE ops.numbers;
    CREATE TYPE ops.pair AS (a integer, b integer);
    CREATE TABLE marts.dim_clients (name text);
    CREATE TABLE marts.finance (month date);
    CREATE VIEW reports.board AS SELECT month FROM marts.finance;
    CREATE TYPE reports.mood AS ENUM ('good', 'bad');
    CREATE FUNCTION reports.answer() RETURNS integer LANGUAGE sql AS 'SELECT 42'"""
HOSTILE = """
    CREATE TABLE public.caught (what text);
    CREATE FUNCTION public.caught(what text) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.caught VALUES (what); RETURN true; END $$;
    CREATE FUNCTION public.current_database() RETURNS name LANGUAGE plpgsql AS
        $$ BEGIN PERFORM public.caught('current_database'); RETURN 'template1'; END $$;
    CREATE FUNCTION public.to_regnamespace(text) RETURNS regnamespace LANGUAGE plpgsql AS
        $$ BEGIN PERFORM public.caught('to_regnamespace'); RETURN NULL; END $$;
    CREATE FUNCTION public.same(a text, b text) RETURNS boolean LANGUAGE sql AS 'SELECT public.caught(''same'')';
    CREATE FUNCTION public.same(a name, b text) RETURNS boolean LANGUAGE sql AS 'SELECT public.caught(''same'')';
    CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same);
    CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same);
    CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN PERFORM public.caught('lower'); RETURN 'hidden'; END $$;
    CREATE FUNCTION public.date_trunc(text, date) RETURNS date LANGUAGE plpgsql AS
        $$ BEGIN PERFORM public.caught('date_trunc'); RETURN DATE '2000-01-01'; END $$;
    GRANT ALL ON SCHEMA public TO PUBLIC"""

_OBJECTS = """
    SELECT i.type, i.identity, coalesce(pg_get_userbyid(h.refobjid), 'postgres'), obj_description(d.objid, k.relname),
        CASE WHEN k.relname = 'pg_class' THEN (SELECT relacl::text FROM pg_class WHERE oid = d.objid)
            WHEN k.relname = 'pg_proc' THEN (SELECT prosrc || proacl::text FROM pg_proc WHERE oid = d.objid) END
    FROM pg_depend AS d JOIN pg_class AS k ON k.oid = d.classid JOIN pg_namespace AS n ON n.oid = d.refobjid
    LEFT JOIN pg_shdepend AS h ON h.classid = d.classid AND h.objid = d.objid AND h.deptype = 'o'
        AND h.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype IN ('n', 'a')
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, %s)"""
_SCHEMAS = """
    SELECT nspname, pg_get_userbyid(nspowner), nspacl::text, obj_description(oid, 'pg_namespace') FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT starts_with(nspname, %s)"""
_TABLES = """
    SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT starts_with(n.nspname, %s)"""
NOTHING = "\N{REPLACEMENT CHARACTER}"  # no name starts with it


def snapshot(admin_url: str, *, without: str = NOTHING) -> dict[str, list[tuple[Any, ...]]]:
    """Schemas, objects, rights and rows of a database, but for schemas whose names start with `without`."""
    with psycopg.connect(admin_url) as connection:
        connection.execute(b"SET search_path = pg_catalog")
        tables = [name for (name,) in connection.execute(_TABLES, [without])]
        columns = "SELECT attrelid::regclass::text, attname, atttypid FROM pg_attribute WHERE attrelid = %s::regclass"
        return {
            "rights": connection.execute(
                b"SELECT datacl::text FROM pg_database WHERE datname = current_database()"
            ).fetchall(),
            "schemas": sorted(connection.execute(_SCHEMAS, [without]).fetchall(), key=repr),
            "objects": sorted(connection.execute(_OBJECTS, [without]).fetchall(), key=repr),
            "columns": sorted((row for name in tables for row in connection.execute(columns, [name])), key=repr),
            **{
                name: connection.execute(f"SELECT t::text FROM {name} AS t ORDER BY 1".encode()).fetchall()
                for name in tables
            },
        }
