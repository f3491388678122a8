"""Nothing personal and nothing secret at rest: not in a file, not in a log, not in what is printed, whatever went wrong."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.command import debitura
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox
from tests.support.spoiling_proxy import spoiling

PLANTED = {
    b'"lifecycle"': b'"Zeldaone Holm"',
    b'"closeCode"': b'"Zeldatwo"',
    b'"currentEngagementPhase"': b'"by zeldathree"',
    b'"creditorReference"': b'"Invoice zeldafour@firma.example"',
    b'"kycStatus"': b'"ZeldaFive"',
    b'"commissionPaymentStatus"': b'"Zelda-Six"',
    b'"collectionPartner"': b'"zeldaseven@firma.example"',
}
ADDED = (
    b'{"consultant":"Zeldaeight","caseLead":"Zelda-Nine","worker":"ZeldaTen","team":[{"lead":"Zeldaeleven"}],"statusCode":'
    b'"ZELDATWELVE",'
    b'"ZeldaThirteen":1,"byLead":{"Zelda Fourteen":2,"zelda.fifteen":3},"geo":{"lat":55.676098,"lng":12.568337},'
    b'"cpr":"010203-9876",'
    b'"home":{"latitude":55.676098},"callMe":4570123456,'
)


def plant(row: bytes) -> bytes:
    """A person in every field that is no person's."""
    for name, value in PLANTED.items():
        row = re.sub(name + rb': ?("[^"]*"|null)', name + b":" + value, row)
    return ADDED + row.lstrip()[1:]


@pytest.mark.timeout(300)
def test_a_person_in_a_field_that_is_no_persons_stays_out(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """Labels, keys, new fields and their names: whoever fills them in may write a person there."""
    sandbox = sandbox_factory()
    sandbox.admin("clients", {"tenant": "zeldasixteen@firma.example", "cases": 3, "transactions": 3})
    keys = [row["id"] for row in sandbox.truth("cases")][:30] + [
        row["transactionId"] for row in sandbox.truth("transactions")
    ][:30]
    keys += [row["client"]["id"] for row in sandbox.truth("clients")][:4]
    spoils = dict.fromkeys(keys, plant) | {
        keys[0]: lambda row: plant(row).replace(b'"grossAmount":', b'"grossAmount":"Zeldaseventeen","a":')
    }
    with spoiling(sandbox.url, spoils) as url:
        pipeline = Pipeline(tmp_path / "data", sandbox, DEBITURA_API_URL=url)
        said = [debitura(command, env=pipeline.env) for command in ("sync", "status", "verify", "reconcile")]
    assert [one.status for one in said[:3]] == [1, 0, 0], said[0].err  # withheld lifecycles contradict the API's counts
    printed = "".join(one.out + one.err for one in said).lower()
    assert "zelda" not in printed
    assert (
        leaks.find(tmp_path / "data", ["zelda", "firma.example", "55.676", "12.568", "010203-9876", "4570123456"]) == {}
    )
    assert ("value", "lifecycle", "[withheld]") in pipeline.rows("SELECT kind, field, value FROM ops.schema_drift")
    stored = pipeline.rows(
        "SELECT count(*) FROM raw.cases WHERE creditor_reference LIKE 'hashed-%' AND lifecycle = '[withheld]'"
    )
    assert stored == [(29,)]
    assert pipeline.rows("SELECT count(*) FROM raw.clients WHERE external_tenant_id LIKE 'hashed-%'") == [(1,)]


def test_the_search_itself_finds_what_is_hidden(tmp_path: Path) -> None:
    """A search that finds nothing anywhere would pass every test."""
    import gzip
    import sqlite3
    import zlib

    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = "Åse D. Lundgaard"
    rows = pa.table({"n": [f"{number} {name}" for number in range(500)]})
    pq.write_table(rows, tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "b.gz").write_bytes(gzip.compress(f"<{name.upper()}>".encode()))
    with duckdb.connect(str(tmp_path / "c.duckdb")) as warehouse:
        warehouse.execute("CREATE SCHEMA raw")
        warehouse.execute("CREATE TABLE raw.t AS SELECT * FROM rows")
    with sqlite3.connect(tmp_path / "d.db") as store:
        store.execute("CREATE TABLE t (x)")
        store.execute("INSERT INTO t VALUES (?)", (name,))
    store.close()
    (tmp_path / "e.log").write_text(json.dumps(name))
    (tmp_path / "f.log").write_text("nobody")
    assert sorted(leaks.find(tmp_path, [name])) == ["a.parquet", "b.gz", "c.duckdb", "d.db", "e.log"]
    for number, form in enumerate((base64.b64encode(f"{'x' * start} {name}!".encode()) for start in range(3)), start=1):
        (tmp_path / f"g{number}.log").write_bytes(form)
    with sqlite3.connect(tmp_path / "h.db") as store:
        store.execute("CREATE TABLE t (x)")
        store.execute("INSERT INTO t VALUES (?)", (zlib.compress(name.encode() * 9),))
    store.close()
    found = leaks.find(tmp_path, [name], leaks.every_spelling)
    assert sorted(found) == ["a.parquet", "b.gz", "c.duckdb", "d.db", "e.log", "g1.log", "g2.log", "g3.log", "h.db"]


def test_in_full_mode_the_debtors_name_is_there_and_nothing_else(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = sandbox_factory()
    pipeline = Pipeline(tmp_path / "data", sandbox, DEBITURA_PRIVACY="full")
    sandbox.faults({"kind": "bad_row", "how": "bad_amount", "path": "/cases", "row": 3})
    pipeline.sync()
    sandbox.faults()
    pipeline.sync()
    names = {row["id"]: row["debtor"]["name"] for row in sandbox.truth("cases")}
    assert dict(pipeline.rows("SELECT case_id, debtor_name FROM raw.cases")) == names
    of_payments = {row["transactionId"]: row["case"]["debtorName"] for row in sandbox.truth("transactions")}
    assert dict(pipeline.rows("SELECT transaction_id, debtor_name FROM raw.transactions")) == of_payments
    assert len(set(names.values())) > 50
    others = set(sandbox.personal()) - set(names.values()) - set(of_payments.values())
    assert len(others) > 30
    assert leaks.find(tmp_path / "data", others) == {}


def test_names_are_the_same_pseudonym_every_night_and_another_under_another_key(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = sandbox_factory()
    keys = "SELECT case_id, debtor_key FROM raw.cases"
    one, two = Pipeline(tmp_path / "one", sandbox), Pipeline(tmp_path / "two", sandbox)
    other = Pipeline(tmp_path / "other", sandbox, DEBITURA_PRIVACY_KEY="quite another key 9876543210")
    for pipeline in (one, two, other):
        pipeline.sync("cases")
    assert dict(one.rows(keys)) == dict(two.rows(keys))
    assert not {key for _, key in one.rows(keys) if key} & {key for _, key in other.rows(keys)}
