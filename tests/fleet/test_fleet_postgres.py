"""Schema `fleet` in a Postgres that partners share, and the published files of partners on both engines.

The damage if these break: a partner reads another one's figures, or a nightly run stops because somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from debitura_pipeline.fleet.postgres import fleet_sql
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.settings.partners_file import find_partners
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.connection import connect
from debitura_pipeline.warehouse.postgres.fleet import ROLE, FleetSchemas, fleet_script
from debitura_pipeline.warehouse.postgres.neighbours import refuse_foreign_objects
from debitura_pipeline.warehouse.postgres.roles import grant_sql, roles_of
from debitura_pipeline.warehouse.postgres.schema_swap import create_next_schemas, swap_schemas
from debitura_pipeline.warehouse.postgres.schemas import Schemas
from debitura_pipeline.warehouse.publish import publish
from tests.support.fleet import TABLES, Fee, Rows, fill_duckdb, fleet_of, publish_file, report_rows
from tests.support.postgres import Database, PostgresServer

NOW, MONTH = datetime(2026, 11, 27, 12, tzinfo=UTC), date(2026, 11, 1)
FILE = """
[a]
warehouse_variable = "A_URL"
schema_prefix = "a_"
[b-eu]
warehouse_variable = "B_URL"
schema_prefix = "b_"
[c]
[later]
warehouse_variable = "LATER_URL"
schema_prefix = "later_"
"""
A: tuple[Fee, ...] = (
    ("last", "Paid", "EUR", Decimal("100.1050"), Decimal(110)),
    ("this", "Pending", "DKK", Decimal(7), Decimal(1)),
)
B: tuple[Fee, ...] = (("last", "Paid", "EUR", Decimal(50), Decimal(55)),)
OF_ALL = "SELECT partner, currency, sum(referral_fee) FROM fleet.revenue_by_client GROUP BY 1, 2 ORDER BY 1, 2"


@dataclass
class Shared:
    """Two partners in one database, whose roles are their own, and the fleet's."""

    server: PostgresServer
    name: str
    root: Path
    settings: dict[str, Settings]

    def admin(self, sql: str) -> list[tuple[Any, ...]]:
        return self.server.admin(sql, self.name)

    def ask(self, role: str, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            f"postgresql://{role}:pw@127.0.0.1:{self.server.port}/{self.name}", autocommit=True
        ) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def put(self, partner: str, rows: Rows, suffix: str = "") -> None:
        """Report tables as dbt's role makes them."""
        prefix = self.settings[partner].warehouse.schema_prefix
        with psycopg.connect(self.server.url(self.name, "postgres"), autocommit=True) as connection:
            for table, columns in TABLES.items():
                place = f"{prefix}reports{suffix}.{table}"
                connection.execute(f"CREATE TABLE {place} ({columns})".encode())
                connection.execute(f"COMMENT ON TABLE {place} IS 'Made by the Debitura pipeline'".encode())
                connection.execute(f"ALTER TABLE {place} OWNER TO {roles_of(partner).dbt}".encode())
                connection.execute(f"GRANT SELECT ON {place} TO {roles_of(partner).pipeline}".encode())
                for row in rows[table]:
                    marks = ", ".join(["%s"] * len(row))
                    connection.execute(f"INSERT INTO {place} VALUES ({marks})".encode(), row)

    def make_fleet(self, **addresses: str) -> list[str]:
        """Run the script; its warnings."""
        partners = find_partners({"DEBITURA_PARTNERS": "partners.toml"}, self.root)
        assert partners is not None
        told: list[str] = []
        with psycopg.connect(self.server.url(self.name, "postgres"), autocommit=True) as connection:
            connection.add_notice_handler(
                lambda note: told.append(note.message_primary or "") if note.severity == "WARNING" else None
            )
            connection.execute(fleet_sql(partners, addresses).encode())
        self.admin(f"ALTER ROLE {ROLE} PASSWORD 'pw'")
        return told


@pytest.fixture
def shared(postgres: Database, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Shared]:
    (tmp_path / "partners.toml").write_text(FILE)
    place = f"127.0.0.1:{postgres_server.port}/{postgres.name}"
    env = {"DEBITURA_PARTNERS": "partners.toml", "DEBITURA_DATA_DIR": str(tmp_path / "data")}
    env |= {f"{name[0].upper()}_URL": f"postgresql://{roles_of(name).pipeline}:pw@{place}" for name in ("a", "b-eu")}
    settings = {name: load_settings({**env, "DEBITURA_PARTNER": name}, tmp_path) for name in ("a", "b-eu", "c")}
    found = Shared(postgres_server, postgres.name, tmp_path, settings)
    for name in ("a", "b-eu"):
        found.admin(grant_sql(Schemas(settings[name].warehouse.schema_prefix), name))
        for role in roles_of(name):
            found.admin(f"ALTER ROLE {role} PASSWORD 'pw'")
        with open_warehouse(settings[name]):  # makes its tables
            pass
    yield found
    for role in (*roles_of("a"), *roles_of("b-eu"), ROLE):
        if found.admin(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            found.admin(f"DROP OWNED BY {role} CASCADE")
            found.admin(f"DROP ROLE {role}")


def test_views_over_all_partners_for_nobody_but_the_fleets_role(shared: Shared) -> None:
    shared.put("a", report_rows(MONTH, A))
    shared.put("b-eu", report_rows(MONTH, B))
    shared.admin("ALTER TABLE b_reports.revenue_by_client DROP COLUMN creditor_id")
    shared.make_fleet()
    shared.make_fleet()
    wanted = [("a", "DKK", Decimal(7)), ("a", "EUR", Decimal("100.105")), ("b-eu", "EUR", Decimal(50))]
    assert shared.ask(ROLE, OF_ALL) == wanted
    assert shared.ask(ROLE, "SELECT DISTINCT partner, creditor_id FROM fleet.revenue_by_client ORDER BY 1") == [
        ("a", "c1"), ("b-eu", None),
    ]  # fmt: skip
    assert shared.ask(ROLE, "SELECT partner, is_proven, is_readable FROM fleet.partners ORDER BY 1") == [
        ("a", None, True), ("b-eu", None, True),
    ]  # fmt: skip
    assert shared.ask(ROLE, "SELECT partner FROM fleet.incidents") == []
    for role in roles_of("a"):
        assert shared.admin(f"SELECT has_schema_privilege('{role}', 'fleet', 'USAGE')") == [(False,)]
        for sql in (OF_ALL, "TABLE fleet.members", "SELECT * FROM b_reports.revenue_by_client",
                    "CREATE VIEW fleet.mine AS SELECT 1",
                    "SELECT * FROM fleet.rows_of('reports', 'revenue_by_client', '{currency}', '{text}') AS f(p text, c text)",
                    f"SET ROLE {ROLE}"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                shared.ask(role, sql)
    for sql in ("TABLE a_raw.cases", "TABLE a_ops.quarantine", "DELETE FROM a_reports.revenue_by_client",
                "DELETE FROM fleet.members", "CREATE TABLE fleet.mine (a int)"):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shared.ask(ROLE, sql)


def test_views_stand_in_no_runs_way_and_show_the_next_nights_tables(shared: Shared) -> None:
    """A view on a partner's tables would stop its nightly run, and go with the old tables."""
    shared.put("a", report_rows(MONTH, A))
    shared.make_fleet()
    database = shared.settings["a"].warehouse
    place = f"127.0.0.1:{shared.server.port}/{shared.name}"
    url = f"postgresql://{roles_of('a').dbt}:pw@{place}"
    dbt = load_settings({"DEBITURA_WAREHOUSE": url, "DEBITURA_SCHEMA_PREFIX": "a_"}, shared.root).warehouse
    for fees in (A[1:], A[:1]):
        with connect(database.server, "a test", read_only=True) as connection:
            refuse_foreign_objects(connection, database)
        create_next_schemas(dbt, [])
        shared.put("a", report_rows(MONTH, fees), "__next")
        swap_schemas(dbt)
        assert shared.ask(ROLE, OF_ALL) == [("a", fees[0][2], fees[0][3])]
    shared.put("b-eu", report_rows(MONTH, B))  # its schema was there, its tables were not
    assert shared.ask(ROLE, "SELECT partner FROM fleet.partners ORDER BY 1") == [("a",), ("b-eu",)]
    shared.make_fleet()
    assert {partner for partner, *_ in shared.ask(ROLE, OF_ALL)} == {"a", "b-eu"}


def test_schemas_are_nobodys_unless_it_is_known_whose_they_are(shared: Shared) -> None:
    """Two partners may have the same prefix in two databases: one's figures would stand under the other's name."""
    shared.put("a", report_rows(MONTH, A))
    shared.admin(
        fleet_script([FleetSchemas("a", "a_", False), FleetSchemas("z", "a_", False), FleetSchemas("y", "b_", False)])
    )
    assert shared.admin("SELECT partner, prefix FROM fleet.members") == [("a", "a_")]
    shared.admin("DROP SCHEMA fleet CASCADE")
    shared.ask(
        roles_of("a").dbt,
        "CREATE SCHEMA fleet; COMMENT ON SCHEMA fleet IS 'Views over all partners of the Debitura pipeline'",
    )
    with pytest.raises(psycopg.errors.RaiseException, match="was not created by this script"):
        shared.make_fleet()


def test_a_schema_that_another_role_was_first_to_make_is_not_the_partners(shared: Shared) -> None:
    """A partner's role may create schemas, so a name that nobody else has proves nothing; the owner does."""
    shared.put("a", report_rows(MONTH, A))
    other = roles_of("b-eu").dbt
    for schema in ("later_reports", "later_ops"):
        shared.ask(other, f"CREATE SCHEMA {schema}")
    shared.ask(other, "CREATE TABLE later_reports.revenue_by_client AS SELECT 'EUR'::text AS currency")
    of_later = [
        f"Partner later: schema later_{layer} is left out. Its owner is {other}," for layer in ("reports", "ops")
    ]
    told = shared.make_fleet(LATER_URL=f"postgresql://{roles_of('a').pipeline}:pw@127.0.0.1/shared")
    assert [line.partition(" and none")[0] for line in told] == of_later
    assert shared.ask(ROLE, "SELECT partner FROM fleet.partners ORDER BY 1") == [("a",), ("b-eu",)]
    assert shared.admin(f"SELECT has_schema_privilege('{ROLE}', 'later_reports', 'USAGE')") == [(False,)]

    # One role for several partners: each one's address names it.
    assert shared.make_fleet(LATER_URL=f"postgresql://{other}:pw@127.0.0.1/shared") == []
    assert shared.ask(ROLE, "SELECT partner, currency FROM fleet.revenue_by_client WHERE partner <> 'a'") == [
        ("later", "EUR")
    ]


REPORT = "b_reports.revenue_by_client"
CODE = f"""
CREATE TABLE b_reports.ran (who text);
GRANT ALL ON b_reports.ran TO PUBLIC;
CREATE FUNCTION b_reports.own() RETURNS boolean LANGUAGE plpgsql
AS $$BEGIN INSERT INTO b_reports.ran VALUES (current_user); RETURN true; END$$;
CREATE FUNCTION b_reports.folded() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN b_reports.own(); END$$;
CREATE DOMAIN b_reports.checked AS text CHECK (b_reports.own());
CREATE TABLE b_reports.spare AS TABLE {REPORT};
"""
WAYS = {
    "view": f"CREATE VIEW {REPORT} AS SELECT * FROM b_reports.spare WHERE b_reports.own()",
    "type": f"CREATE TABLE {REPORT} AS SELECT *, 'x'::b_reports.checked AS more FROM b_reports.spare",
    "policy": f"CREATE TABLE {REPORT} AS TABLE b_reports.spare; ALTER TABLE {REPORT} ENABLE ROW LEVEL SECURITY; "
    f"CREATE POLICY mine ON {REPORT} USING (b_reports.own())",
    "index": f"CREATE TABLE {REPORT} AS TABLE b_reports.spare; CREATE INDEX ON {REPORT} ((b_reports.folded()))",
    "statistics": f"CREATE TABLE {REPORT} AS TABLE b_reports.spare; "
    f"CREATE STATISTICS b_reports.more ON (b_reports.folded()), currency FROM {REPORT}",
}


def test_nothing_that_a_partner_wrote_runs_for_whoever_reads_all_of_them(shared: Shared) -> None:
    """A function of one partner, run with the rights of the fleet's role, reads all the others."""
    shared.put("a", report_rows(MONTH, A))
    shared.put("b-eu", report_rows(MONTH, B))
    shared.make_fleet()
    owner, of_a = roles_of("b-eu").dbt, [("a", "DKK", Decimal(7)), ("a", "EUR", Decimal("100.105"))]
    shared.ask(owner, CODE)
    ran, seen, told = {}, {}, {}
    for way, sql in WAYS.items():
        kind = shared.admin(f"SELECT relkind::text FROM pg_class WHERE oid = '{REPORT}'::regclass")[0][0]
        shared.ask(
            owner, f"DROP {'VIEW' if kind == 'v' else 'TABLE'} {REPORT}; {sql}; GRANT SELECT ON {REPORT} TO {ROLE}"
        )
        shared.ask(owner, "TRUNCATE b_reports.ran")
        seen[way] = [shared.ask(ROLE, OF_ALL)]  # found when it is read
        told[way] = len(
            [line for line in shared.make_fleet() if line.startswith(f"Partner b-eu: {REPORT} is left out.")]
        )
        seen[way].append(shared.ask(ROLE, OF_ALL))  # and by the script
        shared.ask(ROLE, "SELECT * FROM fleet.revenue_by_client")
        ran[way] = shared.admin("SELECT DISTINCT who FROM b_reports.ran")
    assert ran == {way: [] for way in WAYS}
    assert seen == {way: [of_a, of_a] for way in WAYS}
    assert told == dict.fromkeys(WAYS, 1)
    with pytest.raises(psycopg.errors.RaiseException, match="READ COMMITTED only"):
        shared.ask(ROLE, f"BEGIN ISOLATION LEVEL REPEATABLE READ; {OF_ALL}")


def test_one_file_of_partners_on_both_engines(shared: Shared) -> None:
    """What Postgres has published and what a DuckDB file has, side by side, without an address or a key."""
    shared.put("a", report_rows(MONTH, A))
    publish(shared.settings["a"], now=lambda: NOW)
    data = shared.root / "data" / "c"
    data.mkdir()
    fill_duckdb(data / "warehouse.duckdb", report_rows(MONTH, B))
    publish_file(data, data / "warehouse.duckdb", NOW)
    facts = fleet_of(shared.root, NOW)
    assert [member.fault for member in facts.members] == [None] * 4
    with duckdb.connect(facts.data, read_only=True) as file:
        assert file.execute(OF_ALL).fetchall() == [("a", "DKK", 7), ("a", "EUR", Decimal("100.105")), ("c", "EUR", 50)]
    assert facts.money.usd["a"].last_month == Decimal(110)
    assert facts.money.usd["b-eu"].to_come is None
