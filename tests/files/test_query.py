"""`debitura query` as a process: what it prints in each format, what it refuses, and that it can read nothing else."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from debitura_pipeline.cli.query import run_query
from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.interrupts import GRACE_S
from debitura_pipeline.settings import Settings
from tests.support.command import COMMAND, Said, debitura, environment
from tests.support.sandbox import ROOT

REPORT = "FROM revenue_by_month"

Query = Callable[..., Said]


@pytest.fixture
def query(published: Settings) -> Query:
    env = {"DEBITURA_DATA_DIR": str(published.data_dir)}
    return lambda *arguments: debitura("query", *arguments, env=env)


def test_csv_is_what_is_published_as_csv(query: Query, folder: Path) -> None:
    """RFC 4180, UTF-8; values as they are: a spreadsheet's own file is the workbook."""
    said = query(REPORT, "--format", "csv")
    assert said.status == 0, said.err
    text = (folder / "revenue_by_month.csv").read_bytes().decode()
    assert said.out.splitlines() == text.split("\r\n")[:-1]
    assert text.split("\r\n")[1:3] == [
        '2026-01-01,"=HYPERLINK(""http://x"")",EUR,10.1000,12345678901234567890.1234,0.50000000,3,true,2026-01-31T23:30:00.250000Z',
        '2026-02-01,"Größe, ""Ltd""",DKK,-0.0001,0.3000,0.12345678,,false,',
    ]


def test_json_has_amounts_as_text_and_instants_in_utc(query: Query) -> None:
    found = json.loads(query(REPORT, "--format", "json").out)
    assert found[0] == {
        "month": "2026-01-01", "company_name": '=HYPERLINK("http://x")', "currency": "EUR", "fee": "10.1000",
        "fee_usd": "12345678901234567890.1234", "share": "0.50000000", "transactions": 3, "is_final": True,
        "paid_at": "2026-01-31T23:30:00.250000Z",
    }  # fmt: skip
    assert found[2]["company_name"] is None and found[2]["transactions"] == 9
    odd = "SELECT 'NaN'::DOUBLE AS x, [1, 2] AS l, '{{\"k\": 1}}'::JSON AS j, chr(10) || '\"' AS t, 1::HUGEINT AS h WHERE 1 = {}"
    (line,) = json.loads(query(odd.format(1), "--format", "json").out)
    assert line == {"x": None, "l": [1, 2], "j": {"k": 1}, "t": '\n"', "h": 1}
    assert json.loads(query(odd.format(0), "--format", "json").out) == []


def test_a_table_aligns_and_prints_no_character_that_moves_the_cursor(query: Query) -> None:
    said = query("SELECT company_name, fee, chr(27) || '[2J' AS name FROM revenue_by_month -- all of them")
    assert said.out.splitlines() == [
        'company_name                fee  name',
        '----------------------  -------  -------',
        '=HYPERLINK("http://x")  10.1000  \\x1b[2J',
        'Größe, "Ltd"            -0.0001  \\x1b[2J',
        '                         0.2000  \\x1b[2J',
        "(3 rows)",
    ]  # fmt: skip
    assert query(f"SELECT fee, currency {REPORT} WHERE false").out.splitlines() == ["fee  currency", "(0 rows)"]


def test_a_file_gets_the_format_of_its_name_and_is_private(query: Query, tmp_path: Path) -> None:
    out = tmp_path / "cases.parquet"
    said = query("FROM fct_cases", "--out", str(out))
    assert (said.status, said.out) == (0, f"3,000 rows written to {out}\n")
    table = pq.read_table(out)
    assert table.num_rows == 3000 and str(table.schema.field("amount").type) == "decimal128(18, 4)"
    assert out.stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [out]
    before = out.read_bytes()
    assert query("SELECT error('no') FROM fct_cases", "--out", str(out)).status == 1
    assert out.read_bytes() == before and list(tmp_path.iterdir()) == [out]
    assert "cannot be written: No such file or directory." in query(REPORT, "--out", "/nowhere/a.csv").error_line


def test_parquet_goes_down_a_pipe_but_not_to_a_terminal(published: Settings) -> None:
    env = environment({"DEBITURA_DATA_DIR": str(published.data_dir)})
    command = [sys.executable, "-c", COMMAND, "query", REPORT, "--format", "parquet"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True)
    assert pq.read_table(io.BytesIO(done.stdout)).num_rows == 3
    terminal, ours = pty.openpty()
    refused = subprocess.run(command, cwd=ROOT, env=env, stdout=ours, stderr=subprocess.PIPE, check=False)
    os.close(ours)
    os.close(terminal)
    assert refused.returncode == 1
    assert refused.stderr == b"Parquet is not for a terminal. Use --out FILE or redirect standard output.\n"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DROP TABLE marts.fct_cases", "Only a single SELECT can be run .* this is DROP"),
        ("INSERT INTO fct_cases VALUES ('x', 1)", "this is INSERT"),
        ("COPY fct_cases TO '/tmp/x.csv'", "this is COPY"),
        ("ATTACH '/tmp/x.duckdb'", "this is ATTACH"),
        ("SET memory_limit = '9GB'", "this is SET"),
        ("SELECT 1; DROP TABLE marts.fct_cases", "this has 2 statements"),
        ("", "There is no SQL to run"),
        ("SELEC 1", "cannot be parsed"),
        ("SELECT * FROM nowhere", "nowhere does not exist"),
        ("SELECT error('no ' || case_id) FROM fct_cases", "The query failed: .*no case-"),
        ("FROM '/etc/passwd'", "The query failed"),
        ("FROM read_csv('/etc/passwd')", "file system operations are disabled"),
        ("FROM glob('/etc/*')", "file system operations are disabled"),
        ("SELECT * FROM read_parquet('http://localhost/x.parquet')", "The query failed"),
    ],
)  # fmt: skip
def test_what_is_refused(published: Settings, sql: str, reason: str) -> None:
    with pytest.raises(WarehouseError, match=reason) as caught:
        run_query(published, sql, "csv", None)
    assert "\n" not in str(caught.value)


def test_an_error_is_one_line_and_status_1(query: Query, tmp_path: Path) -> None:
    refused = query("DROP TABLE marts.fct_cases")
    assert (refused.status, refused.out) == (1, "") and refused.error_line.endswith("this is DROP.")
    said = debitura("query", "SELECT 1", env={"DEBITURA_DATA_DIR": str(tmp_path / "data")})
    assert said.status == 1 and "Nothing is published yet" in said.error_line and "debitura nightly" in said.error_line


def test_a_reader_that_leaves_gets_no_stack_trace(published: Settings) -> None:
    env = environment({"DEBITURA_DATA_DIR": str(published.data_dir)})
    sql = "SELECT repeat('x', 1000) FROM fct_cases a, range(100) b"
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "query", sql, "--format", "csv"],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_an_interrupt_ends_a_query_that_computes_and_leaves_no_file(published: Settings, tmp_path: Path) -> None:
    """Python hears of a signal when DuckDB returns: without the thread, the command was ended from outside 6.5 s later."""
    (tmp_path / "spill").mkdir()
    env = environment({"DEBITURA_DATA_DIR": str(published.data_dir), "TMPDIR": str(tmp_path / "spill")})
    sql = "SELECT count(*) FROM fct_cases a, fct_cases b, fct_cases c WHERE a.case_id || b.case_id < c.case_id"
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, "query", sql, "--out", str(tmp_path / "out.csv")],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not list(tmp_path.glob(".out.csv.*")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        sent_at = time.monotonic()
        out, err = process.communicate(timeout=60)
    assert time.monotonic() - sent_at < GRACE_S, "it was ended from outside"
    assert (process.returncode, out, len(err.splitlines())) == (130, "", 1) and "Traceback" not in err
    assert list(tmp_path.rglob("*")) == [tmp_path / "spill"]
