"""What a dashboard asks of the published file: wall and CPU of each query.

Belongs here: the queries, and timing them. Does not: publishing (`publishing.py`). By hand, on any published night:
`python -m bench.dashboards data/published/warehouse.duckdb`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import duckdb

RUNS = 5
THREADS = 2
WANTED_MS = 300
CASE = "SELECT creditor_id, case_id FROM marts.fct_cases LIMIT 1 OFFSET 1000"
NIGHT = "SELECT CAST(max(changed_at) - INTERVAL 1 HOUR AS VARCHAR) FROM marts.fct_transactions"
FEES = "sum(referral_fee_usd) FROM marts.fct_transactions"
QUERIES = {
    "stage totals": f"SELECT revenue_stage, count(*), {FEES} GROUP BY 1",
    "month and stage": f"SELECT collected_month, revenue_stage, {FEES} GROUP BY 1, 2",
    "day": f"SELECT occurred_on, {FEES} WHERE is_expected_income GROUP BY 1",
    "debtor's country and month": f"SELECT debtor_country, collected_month, {FEES} GROUP BY 1, 2",
    "collection partner and stage": f"SELECT collection_partner, revenue_stage, {FEES} GROUP BY 1, 2",
    "client, by its country": f"SELECT country, {FEES} JOIN marts.dim_clients USING (creditor_id) GROUP BY 1",
    "cases per client": "SELECT creditor_id, count(*) FROM marts.fct_cases GROUP BY 1",
    "one client's transactions": "SELECT * FROM marts.fct_transactions WHERE creditor_id = '{client}'",
    "one client's cases": "SELECT * FROM marts.fct_cases WHERE creditor_id = '{client}'",
    "one case": "SELECT * FROM marts.fct_cases WHERE case_id = '{case}'",
    "one case's transactions": "SELECT * FROM marts.fct_transactions WHERE case_id = '{case}'",
    "latest 100": "SELECT transaction_id, occurred_at FROM marts.fct_transactions ORDER BY occurred_at DESC LIMIT 100",
    "due dates": f"SELECT next_due_on, revenue_stage, {FEES} WHERE revenue_stage <> 'Paid' GROUP BY 1, 2",
    "changes of the last night": "SELECT kind, count(*), sum(delta_usd) FROM marts.fct_stage_changes "
    "WHERE not_after = (SELECT max(not_after) FROM marts.fct_stage_changes) GROUP BY 1",
    "vintages": "SELECT created_month, currency, count(*), sum(recovered_amount) FROM marts.fct_cases GROUP BY 1, 2",
    "as of now": "SELECT revenue_stage, sum(referral_fee_usd) FROM marts.transactions_as_of(now()) GROUP BY 1",
    "as of the night before": "SELECT revenue_stage, sum(referral_fee_usd) FROM marts.transactions_as_of('{night}') GROUP BY 1",
}


def measure(file: Path) -> None:
    """Print a table: best of five, on two threads, rows fetched as Arrow."""
    print(f"| query | wall ms (wanted: {WANTED_MS}) | CPU ms |\n|---|---|---|")
    with duckdb.connect(file, read_only=True, config={"threads": THREADS}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        client, case = connection.execute(CASE).fetchone() or ("", "")
        (night,) = connection.execute(NIGHT).fetchone() or ("",)
        for name, query in QUERIES.items():
            sql = query.format(client=client, case=case, night=night)
            wall_ms, cpu_ms = min(_timed(connection, sql) for _ in range(RUNS))
            print(f"| {name} | {wall_ms:.0f} | {cpu_ms:.0f} |", flush=True)


def _timed(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    connection.execute(sql).to_arrow_table()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
