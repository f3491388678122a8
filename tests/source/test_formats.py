"""The same rows come out of CSV, Parquet, NDJSON and Postgres; what is no such file is refused in one line."""

from __future__ import annotations

import json
import os
from datetime import date
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from debitura_pipeline.errors import SettingsError, SourceError
from debitura_pipeline.source import Claim, SourceRead, read_claims, read_roster
from debitura_pipeline.source.shrink import table_address
from tests.source.rows import as_csv, claim_row, client_row, put, settings_for
from tests.support.postgres import Database

TODAY = date(2026, 5, 1)


def read(folder: Path, content: bytes | str, name: str = "claims.csv") -> SourceRead[Claim]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.utime(path, (0, 0))  # old enough to be read at once
    return read_claims(settings_for(folder, DEBITURA_CLAIMS=path), TODAY)


def hashes(found: SourceRead[Claim]) -> list[str]:
    assert all(not row.faults for row in found.rows), [row.faults for row in found.rows]
    return [row.row_hash for row in found.rows]


@pytest.mark.parametrize(
    "content",
    [
        as_csv([claim_row(1), claim_row(2)], ";"),
        as_csv([claim_row(1), claim_row(2)], ",", "\r\n"),
        "\ufeff" + as_csv([claim_row(1), claim_row(2)]),
        "\n" + as_csv([claim_row(1), claim_row(2)]).replace("\n", "\n\n"),
        as_csv([claim_row(1, amount="1250.5000"), claim_row(2)]),
    ],
)
def test_csv_in_any_dialect_gives_the_same_rows(tmp_path: Path, content: str) -> None:
    plain = read(tmp_path, as_csv([claim_row(1), claim_row(2)]), "plain.csv")
    assert hashes(read(tmp_path, content)) == hashes(plain)


def test_parquet_and_ndjson_give_the_same_rows_as_csv(tmp_path: Path) -> None:
    rows = [claim_row(1), claim_row(2)]
    plain = hashes(read(tmp_path, as_csv(rows)))
    typed = [
        {**row, "amount": Decimal(row["amount"]), "due_date": date(2026, 2, 1), "is_test": None, "note": 1}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(typed), tmp_path / "claims.bin")
    found = read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=tmp_path / "claims.bin"), TODAY)
    assert hashes(found) == plain
    assert found.unknown == ("note",)
    lines = [json.dumps(row).replace('"1250.50"', "1250.50") for row in rows]
    assert hashes(read(tmp_path, "\n".join(lines), "claims.ndjson")) == plain
    (first, _) = read(tmp_path, "\n".join(lines), "claims.ndjson").rows
    assert first.row is not None and first.row.amount == "1250.50"


def test_a_postgres_view_gives_the_same_rows(tmp_path: Path, postgres: Database) -> None:
    plain = hashes(read(tmp_path, as_csv([claim_row(1), claim_row(2)])))
    with psycopg.connect(postgres.url) as connection:
        connection.execute('CREATE SCHEMA "Own Rows"')
        columns = ", ".join(f'"{name}" text' for name in claim_row())
        marks = ", ".join(["%s"] * len(claim_row()))
        connection.execute(f'CREATE TABLE "Own Rows".invoices ({columns})'.encode())
        for number in (2, 1):
            values = list(claim_row(number).values())
            connection.execute(f'INSERT INTO "Own Rows".invoices VALUES ({marks})'.encode(), values)
        connection.execute(
            b"""CREATE VIEW "Own Rows".claims AS SELECT external_tenant_id, creditor_reference, amount::numeric(12,2),
            currency, debtor_type, debtor_name, debtor_country, debtor_contact_person, invoice_date::date, due_date::date,
            'x' AS secret FROM "Own Rows".invoices"""
        )
    settings = settings_for(tmp_path, DEBITURA_CLAIMS=f"{postgres.url}?table=Own%20Rows.claims")
    found = read_claims(settings, TODAY)
    assert hashes(found) == plain
    assert found.unknown == ("secret",)
    assert postgres.url not in found.label and found.label.startswith("Own Rows.claims of ")


@pytest.mark.parametrize(
    "name",
    [
        "own.told(debtor_name)",
        "own.forbidden(debtor_name)",
        "CAST(to_tsquery('simple', debtor_name || ' & & |') AS text)",
        "current_setting('x.' || debtor_name)",
        "CAST(CAST(debtor_name AS integer) AS text)",
    ],
)
def test_an_error_of_a_view_does_not_show_the_row_that_it_quotes(tmp_path: Path, postgres: Database, name: str) -> None:
    raised = "CREATE FUNCTION own.{}(name text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'bad % ', name {}; END $$"
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE SCHEMA own")
        connection.execute(raised.format("told", ""))
        connection.execute(raised.format("forbidden", "USING ERRCODE = '42501'"))
        connection.execute(
            "CREATE TABLE own.rows AS SELECT * FROM (VALUES ('Klara Weiss', 't', 'r')) AS r (debtor_name, t, c)"
        )
        columns = "t AS external_tenant_id, c AS creditor_reference, '5' AS amount, 'EUR' AS currency, 'person' AS debtor_type"
        view = (
            f"CREATE VIEW own.claims AS SELECT {columns}, {name} AS debtor_name, 'DE' AS debtor_country FROM own.rows"
        )
        connection.execute(view)
    with pytest.raises(SourceError, match="SQLSTATE") as refused:
        read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=f"{postgres.url}?table=own.claims"), TODAY)
    assert "Klara" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__context__ is None


def test_a_float_is_no_reference_in_parquet(tmp_path: Path) -> None:
    """Whole numbers with one value missing become floats in pandas: 1001 would be claimed again as 1001.0."""
    rows = [{**claim_row(), "creditor_reference": reference} for reference in (1001, 1002)]
    whole, parted = (tmp_path / f"{name}.parquet" for name in ("whole", "parted"))
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, whole)
    found = read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=whole), TODAY)
    assert [row.stored_key[1] for row in found.rows if row.row] == ["1001", "1002"]
    for kind in (pa.float64(), pa.decimal128(9, 2)):
        floats = table.set_column(1, "creditor_reference", pa.array([Decimal(1001), Decimal(1002)]).cast(kind))
        pq.write_table(floats, parted)
        found = read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=parted), TODAY)
        assert [row.row for row in found.rows] == [None, None]
        assert "creditor_reference is a number with a decimal point" in found.rows[0].reasons()[0]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("creditor_reference", "7001.0", "is a number with a decimal point"),
        ("creditor_reference", "7e3", "is a number with a decimal point"),
        ("creditor_reference", "false", "is true or false, not text"),
        ("creditor_reference", '["INV-1"]', "is a list"),
        ("debtor_name", '["Klara", "Weiss"]', "is a list"),
        ("creditor_reference", "[]", "is a list"),
        ("debtor_zip_code", "10000.0", "is a number with a decimal point"),
        ("creditor_reference", "NaN", "is not JSON"),
        ("amount", "Infinity", "is not JSON"),
    ],
)
def test_a_value_of_another_type_is_not_taken_for_its_text(
    tmp_path: Path, column: str, value: str, reason: str
) -> None:
    row = claim_row()
    row.pop(column, None)
    line = json.dumps(row)[:-1] + f', "{column}": {value}}}'
    (found,) = read(tmp_path, f"{json.dumps(claim_row(2))}\n{line}\n", "claims.ndjson").rows[1:]
    assert found.row is None
    assert any(reason in each for each in found.reasons()), found.reasons()
    assert "Klara" not in str(found.reasons())


@pytest.mark.parametrize("kind", ["numeric(10,2)", "double precision", "bytea", "own.measure"])
def test_a_column_without_one_spelling_is_no_reference_in_postgres(
    tmp_path: Path, postgres: Database, kind: str
) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE SCHEMA own")
        connection.execute("CREATE DOMAIN own.measure AS real")
        columns = ", ".join(f"{name} {kind if name == 'creditor_reference' else 'text'}" for name in claim_row())
        connection.execute(f"CREATE TABLE own.claims ({columns})")
    with pytest.raises(SourceError, match="has the column creditor_reference as"):
        read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=f"{postgres.url}?table=own.claims"), TODAY)


def test_a_view_without_permission_is_named_with_the_grant_that_it_needs(tmp_path: Path, postgres: Database) -> None:
    with psycopg.connect(postgres.admin_url) as connection:
        connection.execute("CREATE SCHEMA hidden")
        connection.execute("CREATE TABLE hidden.claims AS SELECT '1' AS external_tenant_id, '1' AS creditor_reference")
        for name in ("amount", "currency", "debtor_type", "debtor_name", "debtor_country"):
            connection.execute(f"ALTER TABLE hidden.claims ADD COLUMN {name} text".encode())
    settings = settings_for(tmp_path, DEBITURA_CLAIMS=f"{postgres.url}?table=hidden.claims")
    with pytest.raises(SourceError, match="Grant the user of the address USAGE on schema"):
        read_claims(settings, TODAY)
    with pytest.raises(SourceError, match="is not there"):
        read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=f"{postgres.url}?table=hidden.nothing"), TODAY)


def test_value_that_python_cannot_hold_is_one_bad_cell(tmp_path: Path) -> None:
    rows = [claim_row(1), claim_row(2), claim_row(3)]
    columns: dict[str, pa.Array] = {name: pa.array([row[name] for row in rows]) for name in rows[0]}
    columns["due_date"] = pa.array([20_485, 4_000_000, None], pa.int32()).cast(pa.date32())
    broken = pa.array([b"Nord", b"S\xe9", b"Ost"], pa.binary())
    columns["debtor_name"] = pa.Array.from_buffers(pa.string(), 3, broken.buffers())
    pq.write_table(pa.table(columns), tmp_path / "claims.bin")
    found = read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=tmp_path / "claims.bin"), TODAY)
    assert [row.row is not None for row in found.rows] == [True, False, True]
    assert {fault.column for fault in found.rows[1].faults} >= {"due_date", "debtor_name"}


@pytest.mark.parametrize(
    "text",
    [
        "host=h dbname=erp user=u password=SECRETPW",
        "postgresql:/u:SECRETPW@h/db",
        "dbname = x Password = SECRETPW",
        "postgresql//u:SECRETPW@h/db",
        "user=u host=SECRETPW",
    ],
)
def test_connection_that_is_no_address_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="neither a path nor a postgresql:// address") as refused:
        settings_for(tmp_path, DEBITURA_CLAIMS=text)
    assert "SECRETPW" not in str(refused.value)


def test_folder_with_a_partitions_name_is_a_path(tmp_path: Path) -> None:
    for text in ("/data/erp/host=eu/claims-*.parquet", "/lake/user=acme/claims.parquet", "exports/dbname=erp/c.csv"):
        assert settings_for(tmp_path, DEBITURA_CLAIMS=text).outbound.claims is not None


def test_several_files_are_one_source_and_rows_are_counted_through(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        put(tmp_path / f"part-{number}.csv", as_csv([claim_row(number)]))
    put(tmp_path / "part-3.csv", as_csv([claim_row(1)]))
    found = read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=tmp_path / "part-*.csv"), TODAY)
    assert [row.number for row in found.rows] == [1, 2, 3]
    assert [row.reasons() for row in found.rows] == [
        ["creditor_reference occurs again in row 3"],
        [],
        ["creditor_reference occurs again in row 1"],
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: not even a header"),
        (b"PK\x03\x04rest", "is a zip archive or a spreadsheet"),
        (b"\x1f\x8brest", "gzip"),
        (b"PAR1 and then nothing of the kind", "cannot be read as Parquet"),
        ("amount;currency\n1;EUR\n".encode("utf-16"), "UTF-16"),
        (b"external_tenant_id,amount\n1,2\n", "has no column creditor_reference, currency, debtor_type"),
        (as_csv([claim_row()]).replace("due_date", "Amount").encode(), "has the column amount more than once"),
        (as_csv([claim_row()]).encode() + b'tenant-1,"INV-9,1', "quotes do not match, from line 3 on"),
        (b'[{"amount": 1}]', "is a JSON list"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole(tmp_path: Path, content: bytes, words: str) -> None:
    name = "claims.json" if content.startswith(b"[") else "claims.csv"
    with pytest.raises(SourceError, match=words) as raised:
        read(tmp_path, content, name)
    assert "\n" not in str(raised.value)


def test_text_that_is_no_text_is_not_the_one_that_spells_it_out(tmp_path: Path) -> None:
    """Their records were one: an invalid row showed the state of the other."""
    rows = [{**claim_row(), "creditor_reference": reference} for reference in ("\ud800", "\\ud800", "a\\b", "ä")]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)), "claims.ndjson")
    assert len({row.stored_key for row in found.rows}) == len(rows)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "claims.csv")
    with pytest.raises(SourceError, match="is not a regular file"):
        read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=tmp_path / "claims.csv"), TODAY)


def test_a_header_that_is_somebodys_data_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        read(tmp_path, "tenant-1,INV-1,Klara Weiss\n")
    assert "Klara" not in str(raised.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("nothing.csv", "none-*.csv", "."):
        with pytest.raises(SourceError, match=r"is not there|cannot be read"):
            read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=f"{tmp_path}/{name}"), TODAY)


def test_only_a_header_is_a_source_without_rows(tmp_path: Path) -> None:
    assert read(tmp_path, ",".join(claim_row()) + "\n").rows == ()


def test_bad_rows_are_named_by_row_and_line_and_hold_up_nobody(tmp_path: Path) -> None:
    content = as_csv([claim_row(1, debtor_name="Two\nlines"), claim_row(2), claim_row(3), claim_row(4), claim_row(5)])
    lines = content.encode().split(b"\n")
    lines[4] += b",one more"
    lines[5] = lines[5].replace(b"Debtor", b"D\xe9biteur")
    found = read(tmp_path, b"\n".join(lines))
    assert [(row.number, row.line, row.reasons()) for row in found.rows if row.faults] == [
        (3, 5, ["has 11 fields, and the header 10"]),
        (4, 6, ["debtor_name is not valid UTF-8"]),
    ]
    assert [row.row is not None for row in found.rows] == [True, True, False, False, True]


def test_bad_lines_of_ndjson_hold_up_nobody(tmp_path: Path) -> None:
    lines = [
        json.dumps(claim_row(1)), "{broken", "17", json.dumps(claim_row(2, comments="")), json.dumps(claim_row(3))[:-1]
        + ', "amount": "7"}', json.dumps({**claim_row(4), "debtor_name": {"first": "Klara"}}),
    ]  # fmt: skip
    found = read(tmp_path, "\n".join(lines), "claims.jsonl")
    assert [row.reasons() for row in found.rows] == [
        [], ["is not JSON"], ["is not a JSON object"], [], ["has a name twice"],
        ["debtor_name is neither a text, a number nor true or false", "debtor_name is required"],
    ]  # fmt: skip


def test_a_source_that_lost_more_than_half_of_its_rows_is_refused_until_allowed(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, DEBITURA_ROSTER=tmp_path / "roster.csv")
    (tmp_path / "data").mkdir()

    def rows(count: int) -> None:
        put(tmp_path / "roster.csv", as_csv([client_row(number) for number in range(1, count + 1)] or [{}]))

    rows(5)
    assert len(read_roster(settings, TODAY).rows) == 5
    rows(2)
    for _ in range(2):
        with pytest.raises(SourceError, match="has 2 rows, but had 5 when it was last read"):
            read_roster(settings, TODAY)
    assert len(read_roster(settings, TODAY, allow_shrink=True).rows) == 2
    rows(1)
    assert len(read_roster(settings, TODAY).rows) == 1


@pytest.mark.parametrize(
    ("address", "another"),
    [
        ("postgresql://a:old@host:5432/db?table=s.t", "postgresql://b:new@host:5432/db?table=s.t"),
        ("postgresql://host/db?user=a&password=old&table=s.t", "postgresql://host/db?user=b&password=new&table=s.t"),
        ("postgresql://host/db?table=s.t", "postgres://HOST:5432/db?sslmode=require&table=s.t"),
    ],
)
def test_source_stays_the_same_however_its_server_is_reached(address: str, another: str) -> None:
    """A rotated password forgot how many rows there had been, and half an export passed."""
    assert table_address(address) == table_address(another)
    assert table_address(address) != table_address(address.replace("s.t", "s.other"))
    assert table_address("claims of May.csv") == "claims of May.csv"


def test_many_rows(tmp_path: Path) -> None:
    content = as_csv([claim_row(number) for number in range(20_000)])
    found = read(tmp_path, content)
    assert len(found.rows) == 20_000
    assert not any(row.faults for row in found.rows)
