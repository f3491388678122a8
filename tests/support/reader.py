"""A program that reads the published files over and over, as a BI tool would, and says what it met.

Belongs here: reading and comparing within one opened file. Does not: starting it (`tests/test_nights.py`). Run as
`python -m tests.support.reader FOLDER`: it stops when standard input closes and prints one document of JSON.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

# Figures that come from different tables and must agree in any state that was ever published.
SUMS = {
    "raw": "SELECT sum(referral_fee_usd) FROM raw.transactions WHERE _deleted_at IS NULL",
    "mart": "SELECT sum(referral_fee_usd) FROM marts.fct_transactions",
    "by month": "SELECT sum(referral_fee_usd + disputed_fee_usd + unclassified_fee_usd) FROM reports.revenue_by_month "
    "WHERE basis = 'collected'",
    "by client": "SELECT sum(fee_total_usd + fee_disputed_usd + fee_unclassified_usd) FROM reports.attribution_by_client",
}
COUNTS = {
    "raw": "SELECT count(*) FROM raw.cases WHERE _deleted_at IS NULL",
    "mart": "SELECT count(*) FROM marts.fct_cases",
    "outcomes": "SELECT sum(cases) FROM reports.case_outcomes",
}
# Between two looks: hardly any while a night is being published, else it would take a core from the nights that it looks at.
PAUSE_S, PUBLISHING_PAUSE_S = 2.0, 0.02
NEWEST = "SELECT max(as_of) FROM ops.syncs WHERE status = 'done' AND mode <> 'client'"


def look(file: Path) -> tuple[str, list[str]]:
    """Which night the file is of, and what in it does not agree."""
    with duckdb.connect(str(file), read_only=True) as connection:

        def one(sql: str) -> str:
            return str((connection.execute(sql).fetchone() or ("nothing",))[0])

        faults = []
        for what, queries in (("fees", SUMS), ("cases", COUNTS)):
            figures = {name: one(sql) for name, sql in queries.items()}
            if len(set(figures.values())) > 1:
                faults.append(f"{what}: {figures}")
        return one(NEWEST), faults


def _closed(folder: Path) -> bool:
    """Whether standard input closes within the pause before the next look."""
    until = time.monotonic() + PAUSE_S
    while time.monotonic() < until and not any(folder.glob("nights/.*")):
        if select.select([sys.stdin], [], [], PUBLISHING_PAUSE_S)[0]:
            return True
    return bool(select.select([sys.stdin], [], [], PUBLISHING_PAUSE_S)[0])


def main(folder: Path) -> None:
    seen: Counter[str] = Counter()
    faults: list[str] = []
    exports = 0
    is_last = False
    while not is_last:
        is_last = _closed(folder)  # one look more after the nights are over
        if not (folder / "warehouse.duckdb").exists():
            assert not seen, "a published file is never away"
            continue
        try:
            night, found = look(folder / "warehouse.duckdb")
            seen[night] += 1
            faults += found
            for file in folder.glob("*.parquet"):
                # Opened once: by its path, Arrow would open it once for its footer and again for its rows.
                with file.open("rb") as opened:
                    pq.read_table(opened).validate(full=True)
                exports += 1
        except Exception as error:  # noqa: BLE001 - whatever a reader meets is what the test is about
            faults.append(f"{type(error).__name__}: {error}")
    sys.stdout.write(json.dumps({"seen": seen, "exports": exports, "faults": faults[:20]}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
