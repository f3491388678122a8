"""Find objects in the pipeline's schemas that the pipeline did not create, and refuse to run if there are any.

Runs before a run does anything, and again before the schema swap. Only reads the catalogue.

The pipeline's own objects are: in `raw` and `ops`, relations with the names and columns of `tables.py`; in dbt's schemas,
objects with the mark, a comment that dbt sets (`dbt/macros/marks.sql`). Older versions set no mark: in an unmarked schema of a
database that has the pipeline's `ops.syncs`, their models are recognised by name. An empty schema is the pipeline's if it is
marked or owned by one of its roles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import WarehouseUrl
from debitura_pipeline.warehouse.postgres.connection import connection_lost, server_label, statement_refused
from debitura_pipeline.warehouse.postgres.schemas import DBT_SCHEMAS, NEXT, OLD, PREVIOUS, Schemas
from debitura_pipeline.warehouse.schema_version import FOUND, refuse_newer
from debitura_pipeline.warehouse.tables import all_tables, version_columns

MARK = "Made by the Debitura pipeline"  # dbt/macros/marks.sql has the same text; a description may stand before it
MAX_LISTED = 4
DEPENDS_ON_OURS = ", on "  # as the query below words what is elsewhere and reads marts or reports
# What dbt had built when it did not yet set marks.
UNMARKED_MODELS = {
    "staging": (
        "int_case_close_codes", "int_case_lifecycles", "int_clock", "int_close_codes", "int_invoicing_modes",
        "int_lifecycles", "int_revenue_stages", "stg_debitura__cases", "stg_debitura__cases_history",
        "stg_debitura__clients", "stg_debitura__clients_history", "stg_debitura__partner_history",
        "stg_debitura__transactions", "stg_debitura__transactions_history",
    ),
    "marts": (
        "dim_clients", "fct_case_changes", "fct_cases", "fct_stage_changes", "fct_transactions", "cases_as_of",
        "transactions_as_of",
    ),
    "reports": (
        "attribution_by_client", "attribution_gaps", "case_outcomes", "data_quality", "payout_reconciliation",
        "revenue_by_client", "revenue_by_month", "revenue_pipeline",
    ),
}  # fmt: skip


def refuse_foreign_objects(connection: psycopg.Connection[Any], database: WarehouseUrl) -> None:
    """Raises WarehouseError, naming objects that are not the pipeline's, if there are any. Only reads.

    Tables of a newer version of the pipeline are not known here either; then the version is what is named.
    """
    strangers = _foreign_objects(connection, database)
    if strangers:
        _refuse_newer(connection, database)
        raise WarehouseError(
            f"Postgres at {server_label(database.server)}: the pipeline's schemas contain objects that it did not create: "
            f"{summarise(strangers)}. Nothing was changed.",
            cure=_cure(strangers, database),
            strangers=len(strangers),
        )


def _refuse_newer(connection: psycopg.Connection[Any], database: WarehouseUrl) -> None:
    with suppress(psycopg.Error):  # no such table, or no right to read it
        refuse_newer(connection.execute(Schemas(database.schema_prefix).translated(FOUND).encode()).fetchall())


def _cure(strangers: list[str], database: WarehouseUrl) -> str:
    if all(DEPENDS_ON_OURS in what for what in strangers):
        return "Drop them and build them as models in dbt/models instead: the next nightly run would drop them with the old tables."
    prefix = (
        "another DEBITURA_SCHEMA_PREFIX" if database.schema_prefix else "DEBITURA_SCHEMA_PREFIX (deb_, for example)"
    )
    return f"Set {prefix}, use a separate database, or move them elsewhere."


def _foreign_objects(connection: psycopg.Connection[Any], database: WarehouseUrl) -> list[str]:
    try:
        sql = foreign_objects_sql(Schemas(database.schema_prefix), _roles(connection, database))
        return [what for (what,) in connection.execute(sql.encode()).fetchall()]
    except psycopg.Error as error:
        is_lost = connection.broken or connection.closed
        refusal = (
            connection_lost(error)
            if is_lost
            else statement_refused("The schemas of the database cannot be inspected", error)
        )
    raise refusal


def summarise(strangers: list[str]) -> str:
    """The first few objects, and how many there are."""
    rest = len(strangers) - MAX_LISTED
    return ", ".join(strangers[:MAX_LISTED]) + (f" and {rest} more ({len(strangers)} in all)" if rest > 0 else "")


def foreign_objects_sql(schemas: Schemas, roles: Iterable[str]) -> str:
    """A query for objects that are not the pipeline's: one text each, with kind and owner. `roles`: the pipeline's own.

    Every object of a schema depends on it in `pg_depend`. Needs no right beyond connecting.
    """
    return _STRANGERS.format(
        mark=pg_literal("%" + MARK),
        places=", ".join(map(pg_literal, schemas.all())),
        written=", ".join(_written(schemas)),
        models=", ".join(_models(schemas)),
        syncs=pg_literal(schemas.named("ops")),
        roles=f"ARRAY[{', '.join(map(pg_literal, roles))}]::text[]",
        built="|".join(DBT_SCHEMAS),
        prefix=schemas.prefix,
    )


def pg_literal(text: str) -> str:
    """A text as an SQL literal, independent of `standard_conforming_strings`. Raises ValueError if it contains a backslash."""
    if "\\" in text:
        raise ValueError("no backslash is written into SQL")
    return "'" + text.replace("'", "''") + "'"


def mark_statement(schema: str) -> str:
    """Mark a schema as the pipeline's."""
    return f'COMMENT ON SCHEMA "{schema}" IS {pg_literal(MARK)}'


def marked_table(table: str) -> str:
    """Mark a table as the pipeline's."""
    return f"COMMENT ON TABLE {table} IS {pg_literal(MARK)}"


def _written(schemas: Schemas) -> Iterator[str]:
    """Relations of `raw` and `ops` with their columns, including the history views, which once were tables."""
    histories = ((f"{resource}_history", version_columns(table)) for resource, table in TABLES.items())
    for schema, name, columns in (*all_tables(), *(("raw", *history) for history in histories)):
        names = ", ".join(pg_literal(column) for column, _ in columns)
        yield f"({pg_literal(schemas.named(schema))}, {pg_literal(name)}, ARRAY[{names}]::text[])"


def _models(schemas: Schemas) -> Iterator[str]:
    for schema, names in UNMARKED_MODELS.items():
        for suffix in ("", NEXT, PREVIOUS, OLD):
            yield from (f"({pg_literal(schemas.named(schema + suffix))}, {pg_literal(name)})" for name in names)


def _roles(connection: psycopg.Connection[Any], database: WarehouseUrl) -> list[str]:
    """The roles in the settings, and the connected one."""
    given = (conninfo_to_dict(dsn.reveal()).get("user") for dsn in {database.server, database.for_dbt})
    return sorted({connection.info.user, *(str(user) for user in given if user)})


# A table with one of our names is ours when it has half of our columns: an older version's has fewer than ours.
_STRANGERS = r"""
WITH places AS (
    SELECT n.oid, n.nspname, n.nspowner,
        coalesce(obj_description(n.oid, 'pg_namespace') LIKE {mark}, false) AS is_marked
    FROM pg_catalog.pg_namespace AS n WHERE n.nspname IN ({places})
), members AS (
    SELECT p.nspname, p.nspowner, p.is_marked, d.classid, d.objid, c.relname, c.relkind, coalesce(c.relname, f.proname) AS name,
        coalesce(c.relowner, f.proowner) AS owner,
        coalesce(obj_description(d.objid, c0.relname) LIKE {mark}, false) AS has_mark
    FROM places AS p
    JOIN pg_catalog.pg_depend AS d
        ON d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = p.oid AND d.deptype = 'n'
    JOIN pg_catalog.pg_class AS c0 ON c0.oid = d.classid
    LEFT JOIN pg_catalog.pg_class AS c ON d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid
    LEFT JOIN pg_catalog.pg_proc AS f ON d.classid = 'pg_catalog.pg_proc'::regclass AND f.oid = d.objid
), written AS (
    SELECT m.objid, m.nspname, m.relname FROM members AS m
    JOIN (VALUES {written}) AS w(schema, name, columns) ON w.schema = m.nspname AND w.name = m.relname
    WHERE m.relkind IN ('r', 'v') AND 2 * (
        SELECT count(*) FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = m.objid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (w.columns)
    ) >= cardinality(w.columns)
), strangers AS (
    SELECT m.* FROM members AS m
    WHERE NOT (m.has_mark AND m.name IS NOT NULL AND m.nspname ~ '^{prefix}({built})(__|$)')
        AND NOT EXISTS (SELECT 1 FROM written AS w WHERE w.objid = m.objid AND m.relname IS NOT NULL)
        AND NOT (
            NOT m.is_marked
            AND EXISTS (SELECT 1 FROM written AS w WHERE w.nspname = {syncs} AND w.relname = 'syncs')
            AND EXISTS (SELECT 1 FROM (VALUES {models}) AS v(schema, name) WHERE v.schema = m.nspname AND v.name = m.name)
            AND (m.owner = m.nspowner OR pg_get_userbyid(m.owner) = ANY ({roles}))
        )
), built AS (
    SELECT nspname, name, classid, objid FROM members
    WHERE name IS NOT NULL AND nspname ~ '^{prefix}({built})(__|$)'
), targets AS (
    SELECT * FROM built
    UNION ALL
    SELECT b.nspname, b.name, 'pg_catalog.pg_type'::regclass, t.oid FROM built AS b
    JOIN pg_catalog.pg_class AS c ON b.classid = 'pg_catalog.pg_class'::regclass AND c.oid = b.objid
    JOIN pg_catalog.pg_type AS own ON own.oid = c.reltype
    JOIN pg_catalog.pg_type AS t ON t.oid IN (own.oid, own.typarray)
), dependents AS (
    SELECT t.nspname, t.name, d.classid, d.objid, u.prpubid, coalesce(
            r.ev_class, nullif(k.conrelid, 0), a.adrelid, p.polrelid, g.tgrelid,
            CASE WHEN d.classid = 'pg_catalog.pg_class'::regclass THEN d.objid END
        ) AS relation
    FROM targets AS t
    JOIN pg_catalog.pg_depend AS d ON d.refclassid = t.classid AND d.refobjid = t.objid AND d.deptype IN ('n', 'a')
    LEFT JOIN pg_catalog.pg_rewrite AS r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
    LEFT JOIN pg_catalog.pg_constraint AS k ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
    LEFT JOIN pg_catalog.pg_attrdef AS a ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND a.oid = d.objid
    LEFT JOIN pg_catalog.pg_policy AS p ON d.classid = 'pg_catalog.pg_policy'::regclass AND p.oid = d.objid
    LEFT JOIN pg_catalog.pg_trigger AS g ON d.classid = 'pg_catalog.pg_trigger'::regclass AND g.oid = d.objid
    LEFT JOIN pg_catalog.pg_publication_rel AS u
        ON d.classid = 'pg_catalog.pg_publication_rel'::regclass AND u.oid = d.objid
), readers AS (
    SELECT DISTINCT d.nspname, d.name,
        CASE
            WHEN d.relation IS NOT NULL THEN 'pg_catalog.pg_class'::regclass
            WHEN d.prpubid IS NOT NULL THEN 'pg_catalog.pg_publication'::regclass
            ELSE d.classid
        END AS classid,
        coalesce(d.relation, d.prpubid, d.objid) AS objid
    FROM dependents AS d
    LEFT JOIN pg_catalog.pg_class AS c ON c.oid = d.relation
    LEFT JOIN pg_catalog.pg_proc AS f ON d.classid = 'pg_catalog.pg_proc'::regclass AND f.oid = d.objid
    LEFT JOIN pg_catalog.pg_type AS y ON d.classid = 'pg_catalog.pg_type'::regclass AND y.oid = d.objid
    LEFT JOIN pg_catalog.pg_constraint AS k ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
    WHERE coalesce(c.relnamespace, f.pronamespace, y.typnamespace, k.connamespace, 0) NOT IN (SELECT oid FROM places)
)
SELECT i.identity || ' (' || i.type || coalesce(', owner ' || s.owner, '') || s.why || ')' AS what FROM (
    SELECT m.classid, m.objid, '' AS why, pg_get_userbyid(coalesce(m.owner, h.refobjid, 10)) AS owner FROM strangers AS m
    LEFT JOIN pg_catalog.pg_shdepend AS h ON h.classid = m.classid AND h.objid = m.objid AND h.deptype = 'o'
        AND h.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    UNION ALL
    SELECT 'pg_catalog.pg_namespace'::regclass, p.oid, ', empty', pg_get_userbyid(p.nspowner) FROM places AS p
    WHERE NOT p.is_marked AND pg_get_userbyid(p.nspowner) <> ALL ({roles})
        AND NOT EXISTS (SELECT 1 FROM members AS m WHERE m.nspname = p.nspname)
    UNION ALL
    SELECT classid, objid, ', on ' || quote_ident(nspname) || '.' || quote_ident(min(name)), NULL FROM readers
    GROUP BY classid, objid, nspname
    UNION ALL
    SELECT d.classid, d.objid, ', on ' || quote_ident(p.nspname), NULL FROM places AS p
    JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = p.oid
    JOIN pg_catalog.pg_class AS k ON k.oid = d.classid AND k.relname = 'pg_publication_namespace'
    WHERE p.nspname ~ '^{prefix}({built})(__|$)'
) AS s, LATERAL pg_catalog.pg_identify_object(s.classid, s.objid, 0) AS i
ORDER BY 1"""
