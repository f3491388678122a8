"""`debitura reconcile` as a command, over a real connection: what it prints and how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb

from tests.support.pipeline import Pipeline
from tests.support.sandbox import ROOT, RunningSandbox


def test_the_command_says_so_and_ends_with_status_3(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """What a script that runs it by night can rely on, over a real connection."""
    pipeline = Pipeline(tmp_path / "data", sandbox_factory())
    pipeline.sync()
    assert pipeline.settings.warehouse.path is not None
    with duckdb.connect(str(pipeline.settings.warehouse.path)) as connection:
        sql = (
            "SELECT transaction_id, creditor_id FROM raw.transactions WHERE referral_invoicing_status = 'Paid' LIMIT 1"
        )
        key, creditor = connection.execute(sql).fetchone() or ("", "")
        change = "UPDATE raw.transactions SET referral_fee_usd = referral_fee_usd + 0.01 WHERE transaction_id = ?"
        connection.execute(change, [key])
    code = "import sys; from debitura_pipeline.cli.app import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "reconcile"]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env={**pipeline.env, "COLUMNS": "80", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("transactions in Paid"))
    assert f"client {creditor}, window 20" in line
