"""Nothing personal and nothing secret at rest: not in a file, not in a log, not in what is printed, whatever went wrong."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_sandbox.server import embedded
from tests.support import leaks
from tests.support.command import Said, debitura, environment
from tests.support.pipeline import Pipeline
from tests.support.sandbox import ROOT, EmbeddedSandbox, RunningSandbox
from tests.support.spoiling_proxy import spoiling

API_KEY, PRIVACY_KEY = "a-key-that-must-not-be-seen-7712", "pseudonyms are made with this 5519"
LISTS = ("/clients", "/cases", "/reporting/transactions")
ONBOARD = """
import sys
from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.jobs import ONBOARD
from debitura_pipeline.orchestration.keys import CLIENTS
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.opening import private_umask
with private_umask(), open_instance(load_settings()) as instance:
    instance.add_dynamic_partitions(CLIENTS.name, [sys.argv[1]])
    job = defs.resolve_job_def(ONBOARD)
    outcome = job.execute_in_process(instance=instance, partition_key=sys.argv[1], raise_on_error=False)
    sys.exit(0 if outcome.success else 1)
"""


def onboard(key: str, env: dict[str, str]) -> Said:
    done = subprocess.run(
        [sys.executable, "-c", ONBOARD, key],
        check=False,
        cwd=ROOT,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=200,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def misbehave(sandbox: RunningSandbox) -> None:
    """Bad rows of every kind, unknown fields, broken answers: by each a row might get into a message."""
    sandbox.faults(
        *({"kind": kind, "path": path} for path in LISTS for kind in ("html", "reset")),
        {"kind": "bad_row", "how": "no_id", "path": "/clients", "row": 1, "times": 0},
        {"kind": "bad_row", "how": "bad_date", "path": "/cases", "query": "FromDate=", "row": 2, "times": 0},
        {"kind": "drift", "path": "/cases", "times": 0},
        {"kind": "status", "path": "/oauth/token", "status": 500},
    )


@pytest.mark.timeout(900)
def test_nothing_personal_and_no_secret_is_left_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night with every kind of trouble, a client onboarded, a failure: then every byte of it all is searched."""
    data = tmp_path / "data"
    monkeypatch.setenv("DEBITURA_SANDBOX_KEY", API_KEY)
    env = {"DEBITURA_DATA_DIR": str(data), "DEBITURA_PRIVACY_KEY": PRIVACY_KEY}
    world = ["--clients", "6", "--cases", "150", "--transactions", "260", "--no-rate-limit"]
    with embedded.running(data, arguments=world) as found:
        sandbox = EmbeddedSandbox(found)
        assert sandbox.key == API_KEY
        added = sandbox.admin("clients", {"tenant": "new one", "cases": 4, "transactions": 5})
        sandbox.admin("clients", {"tenant": "unsigned", "signed": False, "cases": 2, "transactions": 0})
        misbehave(sandbox)
        said = [debitura("nightly", env=env)]
        # Lifecycles that nobody knows contradict the API's counts of the known ones.
        assert (said[0].status, "proof contradicted: cases" in said[0].out) == (1, True), said[0].out + said[0].err
        assert sandbox.log()["fault bad_row"] >= 2
        said.append(onboard(ClientRef("new one", added["creditorId"]).key, env))
        assert said[-1].status == 0, said[-1].err
        assert sandbox.log()["POST /oauth/token"] == 2
        path = "/reporting/transactions"
        sandbox.faults({"kind": "bad_row", "how": "bad_amount", "path": path, "row": 4, "times": 0})
        said.append(debitura("sync", "--only", "transactions", env=env))
        assert said[-1].status == 0, said[-1].err
        sandbox.faults()
        sandbox.faults({"kind": "null_rows", "path": path, "times": 0})
        quick = "import debitura_pipeline.api.client as c; c.FIRST_BACKOFF_S = 0.001"
        said += [debitura("sync", env=env, before=quick), debitura("status", env=env), debitura("doctor", env=env)]
        assert said[3].status == 1
        sandbox.faults()
        said += [debitura("reconcile", env=env), debitura("verify", env=env)]
        personal = sandbox.personal()
        header, _, _ = minted(sandbox, "new one").partition(".")
    assert len(personal) > 150
    assert header.startswith("eyJ")
    secrets = [API_KEY, PRIVACY_KEY, header + "."]
    assert leaks.find(data, [*personal, *secrets]) == {}
    printed = "\n".join(one.out + one.err for one in said).encode()
    assert leaks.search(printed, {text: leaks.spellings(text) for text in [*personal, *secrets]}) == []
    quarantined = [line for line in said[4].out.splitlines() if "rows in quarantine" in line]
    assert quarantined, "there were bad rows, and they were looked at too"
    for file in [data, *data.rglob("*")]:
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


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


def minted(sandbox: RunningSandbox, tenant: str) -> str:
    body = {"grantType": "client_credentials", "externalTenantId": tenant}
    status, answer = sandbox.send("POST", "/oauth/token", body)
    assert status == 200, answer
    return str(json.loads(answer)["accessToken"])


def test_the_search_itself_finds_what_is_hidden(tmp_path: Path) -> None:
    """A search that finds nothing anywhere would pass every test."""
    import gzip
    import sqlite3

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
