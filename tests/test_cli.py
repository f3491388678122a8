"""The commands as processes: exit statuses, one line for an expected failure, output that reads well without a terminal."""

from __future__ import annotations

import json
import re
import resource
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from debitura_pipeline.doctor import api
from debitura_pipeline.doctor.examine import WITHIN_S
from debitura_pipeline.landing.landing_zone import sync_folders
from debitura_sandbox.server import embedded
from tests.support.command import Said, debitura, ended, start
from tests.support.pipeline import Pipeline
from tests.support.sandbox import EmbeddedSandbox, start_sandbox

MEANT_FOR_TERMINALS = re.compile(r"\x1b|[█━╸]")
TELL_LOADED = """import atexit, sys
atexit.register(lambda: print("loaded:", *sorted({"duckdb", "pandas", "psycopg", "dagster"} & set(sys.modules))))"""
START_S = 2.5  # that a command takes to start on a quiet machine
HELP_CPU_S = 1.5  # importing DuckDB, pandas or Dagster for it would take two to ten seconds


@pytest.fixture(scope="module")
def first_sync(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pipeline, Said]]:
    """A data directory after one `debitura sync`, with the API still there, and what the command said."""
    sandbox = start_sandbox(clients=5, cases=110, transactions=150, seed=7, no_rate_limit=True)
    pipeline = Pipeline(tmp_path_factory.mktemp("cli") / "data", sandbox)
    said = ended(start(("sync",), pipeline.env, TELL_LOADED))  # by itself: what it loads is looked at
    assert said.status == 0, said.err
    assert said.err == ""
    assert re.search(r"^cases +full +\d +11\d +110 .*equal *$", said.out, re.MULTILINE), said.out
    yield pipeline, said
    sandbox.stop()


@pytest.fixture(scope="module")
def synced(first_sync: tuple[Pipeline, Said]) -> Pipeline:
    """The data directory alone."""
    return first_sync[0]


@pytest.fixture
def pipeline(synced: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy that a test may spoil."""
    shutil.copytree(synced.env["DEBITURA_DATA_DIR"], tmp_path / "data")
    return Pipeline(tmp_path / "data", synced.sandbox)


def lines_of(said: Said) -> list[str]:
    """What was printed, fit for a log: no colours, no bars, nothing folded at 80 columns."""
    assert not MEANT_FOR_TERMINALS.search(said.out + said.err)
    assert "Traceback" not in said.out + said.err
    return said.out.splitlines()


def test_help_is_quick_and_names_every_command(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = ended(start(["--help"], {"DEBITURA_DATA_DIR": str(tmp_path / "data")}))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert said.status == 0
    commands = set(re.findall(r"^│ ([a-z]+) ", said.out, re.MULTILINE))
    assert {"nightly", "sync", "replay", "verify", "reconcile", "status", "doctor", "dev", "sandbox"} <= commands
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < HELP_CPU_S


def test_a_sync_into_duckdb_loads_no_library_that_it_has_no_use_for(first_sync: tuple[Pipeline, Said]) -> None:
    """DuckDB and Arrow load pandas by themselves where they may: as much CPU as reading 10,000 rows, in each command."""
    assert first_sync[1].out.splitlines()[-1] == "loaded: duckdb"


BAD_SETTINGS = {
    "DEBITURA_ENVIRONMENT": "prod",
    "DEBITURA_API_URL": "http://api.example.com",
    "DEBITURA_WAREHOUSE": "sqlite:///x",
    "DEBITURA_PRIVACY": "none",
    "DEBITURA_PRIVACY_KEY": "short",
    "DEBITURA_REQUESTS_PER_MINUTE": "many",
    "DEBITURA_CONCURRENCY": "0",
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_a_bad_setting_is_one_line_and_status_2_and_nothing_was_touched(tmp_path: Path, name: str) -> None:
    said = debitura("sync", env={"DEBITURA_DATA_DIR": str(tmp_path / "data"), name: BAD_SETTINGS[name]})
    assert said.status == 2
    assert said.error_line.startswith(name)
    assert f"Example: {name}=" in said.error_line
    assert list(tmp_path.iterdir()) == []


def test_verify_without_a_sync_says_that_nothing_was_checked(tmp_path: Path) -> None:
    said = debitura("verify", env={"DEBITURA_DATA_DIR": str(tmp_path / "data")})
    assert (said.status, lines_of(said)[-1]) == (0, "Nothing was checked: the landing zone has no finished sync yet.")


def test_unknown_commands_options_and_resources_are_status_2(synced: Pipeline) -> None:
    for arguments in (["explode"], ["sync", "--explode"], ["sync", "--only", "invoices"]):
        said = debitura(*arguments, env=synced.env)
        assert said.status == 2, arguments
        assert said.err
        assert "Traceback" not in said.err


def test_an_api_that_is_not_there_is_status_1_and_one_line(pipeline: Pipeline) -> None:
    quick = "import debitura_pipeline.api.client as c; c.FIRST_BACKOFF_S = 0.001"
    said = debitura("sync", env={**pipeline.env, "DEBITURA_API_URL": "http://127.0.0.1:9"}, before=quick)
    assert said.status == 1
    last = said.err.splitlines()[-1]
    assert "nothing is listening at 127.0.0.1:9: the connection was refused. Check the address and its port" in last
    assert "Tried 6 times" in last
    assert "Traceback" not in said.err


def test_verify_holds_and_after_tampering_is_status_3_with_the_file_named(pipeline: Pipeline) -> None:
    said = debitura("verify", env=pipeline.env)
    assert said.status == 0
    assert lines_of(said)[-1] == "3 certificates, 3 windows, 265 keys checked; 0 failed"
    landed = next(sync_folders(pipeline.settings.landing_dir, "cases"))
    file = next(landed.path.glob("*.parquet"))
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    said = debitura("verify", env=pipeline.env)
    assert said.status == 3
    assert said.err == ""
    found = lines_of(said)
    assert any(landed.begin.sync_id in line and f"{file.name} has changed" in line for line in found)
    assert found[-1].endswith("1 failed")
    other = next(sync_folders(pipeline.settings.landing_dir, "clients")).begin.sync_id
    assert debitura("verify", "--sync", other, env=pipeline.env).status == 0, "the other certificates still hold"
    file.unlink()
    said = debitura("verify", env=pipeline.env)
    assert said.status == 3
    assert f"{file.name} is missing" in said.out
    nobody = debitura("verify", "--sync", "nobody", env=pipeline.env)
    assert nobody.status == 1
    assert "nobody" in nobody.error_line


def test_reconcile_holds_and_after_a_row_was_changed_is_status_3(pipeline: Pipeline) -> None:
    said = debitura("reconcile", env=pipeline.env)
    assert said.status == 0, said.out
    assert lines_of(said)[-1].endswith("0 differ")
    with duckdb.connect(str(pipeline.settings.warehouse.path)) as warehouse:
        warehouse.execute(
            "UPDATE raw.transactions SET referral_fee_usd = referral_fee_usd + 1 WHERE transaction_id = "
            "(SELECT min(transaction_id) FROM raw.transactions WHERE referral_invoicing_status = 'Paid')"
        )
    said = debitura("reconcile", env=pipeline.env)
    assert said.status == 3
    differing = [line for line in lines_of(said) if " differs" in line and " Paid " in line]
    assert len(differing) == 1
    assert "1.0000" in differing[0]


def test_status_is_readable_and_its_json_parses(synced: Pipeline, tmp_path: Path) -> None:
    said = debitura("status", env=synced.env)
    assert said.status == 0
    assert "No open problems." in lines_of(said)
    said = debitura("status", "--exit-code", "--json", env=synced.env)
    assert said.status == 0
    found = json.loads(said.out)
    assert {name: facts["live_rows"] for name, facts in found["resources"].items()} == {
        "clients": 5, "cases": 110, "transactions": 150,
    }  # fmt: skip
    assert found["problems"] == []
    nothing_yet = {**synced.env, "DEBITURA_DATA_DIR": str(tmp_path / "data")}
    assert debitura("status", env=nothing_yet).status == 0
    found = document_of(debitura("status", "--exit-code", "--json", env=nothing_yet))
    assert (found["exit_status"], found["error"], found["problems"]) == (
        1,
        "nothing has been synced yet",
        [found["error"]],
    )
    assert list(tmp_path.iterdir()) == [], "to ask makes nothing"


def document_of(said: Said) -> dict[str, Any]:
    """What `--json` printed: one document, alone, that says how the command ended."""
    found = json.loads(said.out)
    assert (found["exit_status"], found["status"]) == (said.status, "failed" if said.status else "done"), found
    assert ("error" in found) == bool(said.status)
    return dict(found)


def test_json_is_one_document_alone_on_standard_output(pipeline: Pipeline) -> None:
    found = document_of(debitura("sync", "--json", env=pipeline.env))
    assert {sync["resource"]: sync["unchanged"] for sync in found["syncs"]} == {
        "clients": 5, "cases": 110, "transactions": 150,
    }  # fmt: skip
    assert all(datetime.fromisoformat(sync["started_at"]).utcoffset() == timedelta() for sync in found["syncs"])
    found = document_of(debitura("sync", "--plan", "--json", env=pipeline.env))
    assert [plan["resource"] for plan in found["plans"]] == ["clients", "cases", "transactions"]
    found = document_of(debitura("reconcile", "--json", env=pipeline.env))
    assert found["differing"] == 0
    paid = next(total for total in found["totals"] if (total["bucket"], total["unit"]) == ("Paid", "usd"))
    assert isinstance(paid["api_value"], str) and Decimal(paid["api_value"]) == Decimal(paid["warehouse_value"])
    assert document_of(debitura("verify", "--json", env=pipeline.env))["do_not_hold"] == 0
    assert document_of(debitura("doctor", "--json", env=pipeline.env))["diagnoses"]


def test_json_tells_of_a_failure_as_well(pipeline: Pipeline) -> None:
    wrong = {**pipeline.env, "DEBITURA_API_KEY": "wrong"}
    said = debitura("sync", "--json", env=wrong)
    assert "HTTP 401" in document_of(said)["error"]
    assert "HTTP 401" in said.error_line
    said = debitura("doctor", "--json", env=wrong)
    assert (said.status, "HTTP 401" in document_of(said)["error"]) == (2, True)
    assert "nobody" in document_of(debitura("verify", "--sync", "nobody", "--json", env=pipeline.env))["error"]
    bad = {**pipeline.env, "DEBITURA_PRIVACY": "none"}
    said = debitura("status", "--json", env=bad)
    assert said.status == 2
    assert document_of(said)["error"].startswith("DEBITURA_PRIVACY")
    said = debitura("status", "--json", "--nonsense", env=pipeline.env)
    assert (said.status, document_of(said)["error"]) == (2, "No such option: --nonsense")


def test_quiet_leaves_the_last_line_and_verbose_adds_requests_with_their_time(synced: Pipeline) -> None:
    said = debitura("--quiet", "verify", env=synced.env)
    assert said.out.splitlines() == [said.out.strip()]
    assert said.out.endswith("0 failed\n")
    assert debitura("status", "-q", env=synced.env).out == "No open problems.\n"
    said = debitura("reconcile", "-v", env=synced.env)
    assert re.search(r"^\d{4}-\d\d-\d\dT[\d:.]+Z GET /cases\S*: HTTP 200$", said.err, re.MULTILINE), said.err
    assert synced.sandbox.key not in said.err
    assert re.fullmatch(r"debitura \d+\.\d+\S*\n", debitura("status", "--version", env=synced.env).out)


def test_output_that_cannot_be_written_is_not_blamed_on_the_data_directory(synced: Pipeline) -> None:
    """Its user looked for space in a folder that had plenty."""
    full = "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
    said = debitura("status", env=synced.env, before=full)
    assert said.status == 1
    assert "No space left on device" in said.error_line and "standard output" in said.error_line
    assert synced.env["DEBITURA_DATA_DIR"] not in said.err


def test_help_shows_no_types_of_switches_and_examples(synced: Pipeline) -> None:
    said = debitura("sync", "--help", env=synced.env)
    assert "bool" not in said.out.lower()
    assert "Examples:" in said.out
    assert "--clients" in debitura("sandbox", "serve", "--help", env=synced.env).out


def test_only_without_a_name_says_what_it_knows(synced: Pipeline) -> None:
    said = debitura("sync", "--only", " ,", env=synced.env)
    assert said.status == 2
    assert said.error_line == "--only is empty; choose from clients, cases, transactions. Example: --only cases"


def test_retries_are_told_with_their_time(pipeline: Pipeline) -> None:
    pipeline.sandbox.faults({"kind": "status", "status": 503, "path": "/cases", "times": 1})
    quick = "import debitura_pipeline.api.client as c; c.FIRST_BACKOFF_S = 0.001"
    said = debitura("sync", "--only", "cases", env=pipeline.env, before=quick)
    pipeline.sandbox.faults()
    assert said.status == 0, said.err
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \S.*HTTP 503", said.err), said.err


def test_tables_fit_eighty_columns(synced: Pipeline) -> None:
    for arguments in (["status"], ["reconcile"], ["sync", "--plan"]):
        said = debitura(*arguments, env={**synced.env, "COLUMNS": "80"})
        assert said.status == 0
        assert "…" not in said.out
        rows = [line for line in said.out.splitlines() if not line.startswith(("open:", "Published", "Nothing"))]
        assert max(map(len, rows)) <= 80, said.out
        assert re.search("transactions", said.out)


def test_the_embedded_sandbox_is_moved_on_and_its_clients_added_and_signed(tmp_path: Path) -> None:
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data")}
    with embedded.running(tmp_path / "data") as found:  # or each command would start one
        said = debitura("sandbox", "add-client", "--count", "3", "--unsigned", env=env)
        assert said.status == 0, said.err
        added = re.findall(r"^Added client (\S+), not signed yet\.$", said.out, re.MULTILINE)
        assert len(set(added)) == 3
        assert debitura("sandbox", "sign", added[0], env=env).out == f"{added[0]} has signed.\n"
        days = [debitura("sandbox", "advance", *more, env=env).out for more in ((), ("--days", "2"))]
        assert days == [f"The sandbox is at day {found.day + more}.\n" for more in (1, 3)]
        rows = EmbeddedSandbox(found).truth("clients")
    signed = {row["externalTenantId"]: row["onboardingDone"] for row in rows}
    assert [signed[tenant] for tenant in added] == [True, False, False]


def test_sandbox_commands_are_refused_where_an_api_is_named(synced: Pipeline) -> None:
    said = debitura("sandbox", "advance", env=synced.env)
    assert said.status == 2
    assert "needs the embedded sandbox" in said.error_line


def test_replay_rebuilds_and_needs_no_api(pipeline: Pipeline) -> None:
    before = pipeline.state()
    assert pipeline.settings.warehouse.path is not None
    pipeline.settings.warehouse.path.unlink()
    said = debitura("replay", env={**pipeline.env, "DEBITURA_API_URL": "http://127.0.0.1:9"})
    assert said.status == 0, said.err
    assert lines_of(said) == ["Rebuilt from the landing zone: 5 clients, 110 cases, 150 transactions"]
    assert pipeline.state() == before


def test_commands_that_need_a_warehouse_say_so_where_there_is_none(tmp_path: Path, synced: Pipeline) -> None:
    said = debitura("reconcile", env={**synced.env, "DEBITURA_DATA_DIR": str(tmp_path / "data")})
    assert said.status == 1
    assert "There is no warehouse" in said.error_line


def test_a_warehouse_that_is_no_warehouse_is_status_1_and_one_line(pipeline: Pipeline) -> None:
    path = pipeline.settings.warehouse.path
    assert path is not None
    path.write_bytes(b"not a database" * 1_000)
    said = debitura("replay", env=pipeline.env)
    assert said.status == 1
    assert str(path) in said.error_line


def test_doctor_says_what_is_wrong_and_how_to_mend_it(pipeline: Pipeline) -> None:
    said = debitura("doctor", env=pipeline.env)
    assert said.status == 0, said.out
    assert all(line.startswith("ok ") for line in lines_of(said))
    assert "sandbox-key" not in said.out
    said = debitura("doctor", env={**pipeline.env, "DEBITURA_API_KEY": "wrong"})
    assert said.status == 2
    bad = [line for line in lines_of(said) if line.startswith("FAIL")]
    assert len(bad) == 1
    assert "HTTP 401" in bad[0]


def test_a_sync_that_would_delete_much_is_refused_until_it_is_allowed(pipeline: Pipeline) -> None:
    rows = [{"op": "row", "resource": "cases", "action": "delete", "row": row} for row in range(30)]
    try:
        for change in rows:
            pipeline.sandbox.admin("change", change)
        said = debitura("sync", "--only", "cases", env=pipeline.env)
        assert said.status == 1
        assert "30 of 110 live rows" in said.error_line
        assert "--allow-shrink" in said.error_line
        said = debitura("sync", "--only", "cases", "--allow-shrink", env=pipeline.env)
        assert said.status == 0
        assert re.search(r"^cases .* 30 ", said.out, re.MULTILINE)
    finally:
        for change in rows:
            pipeline.sandbox.admin("change", {**change, "action": "restore"})


def test_files_are_the_owners_alone(synced: Pipeline) -> None:
    data = Path(synced.env["DEBITURA_DATA_DIR"])
    for path in [data, *data.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


# Limits that a busy machine does not reach; the request's own timeouts stay.
WITH_TIME = """
from debitura_pipeline.doctor import api, examine
api.WITHIN_S = 100.0
examine.__kwdefaults__["within_s"] = 120.0
"""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "stall", "delay_s": 600}, "did not answer in time"),
        ({"kind": "status", "status": 503}, "HTTP 503 on GET /me"),
    ],
    ids=["stall", "503"],
)
def test_doctor_asks_a_server_once_and_gives_up_by_itself(
    pipeline: Pipeline, fault: dict[str, object], words: str
) -> None:
    asked = pipeline.sandbox.log().get("GET /me", 0)
    pipeline.sandbox.faults({"path": "/me", "times": 0, **fault})
    said = debitura("doctor", env=pipeline.env, before=WITH_TIME)
    pipeline.sandbox.faults()
    assert said.status == 2
    assert words in next(line for line in lines_of(said) if line.startswith("FAIL API"))
    assert pipeline.sandbox.log()["GET /me"] == asked + 1


def test_doctors_limits_leave_time_to_start_within_ten_seconds() -> None:
    """That a check which hangs is ended by the limit is tested in `tests/doctor`."""
    assert api.TIMEOUTS.whole < api.WITHIN_S < WITHIN_S <= 10 - START_S
