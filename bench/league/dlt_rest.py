"""Peer: dlt's REST API source into DuckDB, with the settings that its documentation recommends for speed.

Runs in the peers' environment, imports nothing of the project. The settings and why: resources extracted side by side
(`parallelized`), the API's largest pages, large buffers and files of a size that lets both cores normalise, Parquet for
the loader, no child tables, types of amounts said beforehand, telemetry off.

`full` replaces the tables; `nightly` merges by primary key from where the
last run's dates ended, less a lag of 30 days, as its guide to incremental loading has it where rows change later.

`--cut` goes further than the documentation: each long listing as so many resources of one date range each, into one table,
since a single resource asks for one page after the other.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LAG_DAYS = 30
DAY_S = 86_400
DAWN = datetime(2023, 1, 1, tzinfo=UTC)  # of the world that is read in parts
SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "WARNING",
    "EXTRACT__WORKERS": "8",
    "EXTRACT__MAX_PARALLEL_ITEMS": "100",
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "2",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "10000",
    "SOURCES__DATA_WRITER__FILE_MAX_ITEMS": "50000",
    "SOURCES__DATA_WRITER__DISABLE_COMPRESSION": "true",
}
LISTINGS = {
    "clients": ("clients", "clients", "client.id", "dateLinked", "DateCreatedFrom", "dateCreated:asc"),
    "cases": ("cases", "cases", "id", "dateCreated", "FromDate", "DateCreated:asc"),
    "transactions": ("reporting/transactions", "data", "transactionId", "date", "FromDate", "collectionDate:asc"),
}
# Said beforehand, or a first amount without a fraction makes a column of integers, and the others go into a second one.
_EARNED = (
    "debitura_revenue",
    "debitura_revenue_usd",
    "referral_fee_percentage",
    "referral_fee_amount",
    "referral_fee_amount_usd",
)
AMOUNTS = {
    "clients": ("case_stats__earnings_usd",),
    "cases": ("gross_amount", "remainder", "expected_referral_rate_percentage"),
    "transactions": (
        "case__original_amount", "payment__amount", *(f"earnings__{name}" for name in _EARNED),
        "recognition__referral_fee_recognized_usd",
    ),
}  # fmt: skip
PERSONAL = (
    ("client", "contacts"),
    ("users",),
    ("onboardingLinks",),
    ("kycVerification",),
    ("caseResults",),
    ("validation", "items"),
)


def without_people(row: dict[str, Any]) -> dict[str, Any]:
    """Lists of people and of open questions are not wanted in a warehouse, and would cost dlt a child table each."""
    for *above, name in PERSONAL:
        place: Any = row
        for step in above:
            place = place.get(step) or {}
        place.pop(name, None)
    return row


def with_plain_date(field: str) -> Any:
    """One spelling for dates: the API's come with and without a zone, which dlt's cursor cannot compare."""

    def mend(row: dict[str, Any]) -> dict[str, Any]:
        text = row[field]
        row["cursor"] = text.removesuffix("Z").removesuffix("+00:00").split(".")[0] + "Z"
        return row

    return mend


def resource(name: str, mode: str) -> dict[str, Any]:
    path, rows, key, date, since, sort = LISTINGS[name]
    params: dict[str, Any] = {"PageSize": 100, "Sort": sort}
    paginator = {"type": "page_number", "base_page": 1, "page_param": "Page", "total_path": "page.totalPages"}
    endpoint: dict[str, Any] = {"path": path, "params": params, "data_selector": rows, "paginator": paginator}
    steps: list[dict[str, Any]] = [{"map": without_people}]
    is_incremental = mode == "nightly" and name != "clients"  # clients are few, and have no date to go by: read whole
    if is_incremental:
        endpoint["incremental"] = {
            "cursor_path": "cursor", "start_param": since, "initial_value": "2000-01-01T00:00:00Z", "lag": LAG_DAYS * DAY_S,
        }  # fmt: skip
        steps.append({"map": with_plain_date(date)})
    made: dict[str, Any] = {
        "name": name, "endpoint": endpoint, "processing_steps": steps, "parallelized": True,
        "write_disposition": "merge" if is_incremental else "replace",
        "columns": {column: {"data_type": "double"} for column in AMOUNTS[name]},
    }  # fmt: skip
    if "." not in key:
        made["primary_key"] = key
    return made


def ranges(name: str, mode: str, cut: int) -> list[dict[str, Any]]:
    """A listing as one resource, or as `cut` of them side by side, each reading a range of dates."""
    if cut < 2 or name == "clients":
        return [resource(name, mode)]
    begin, step = DAWN, (datetime.now(UTC) - DAWN) / cut
    found = []
    for number in range(cut):
        part = resource(name, mode) | {"name": f"{name}_{number}", "table_name": name}
        if number:
            part["endpoint"]["params"]["FromDate"] = (begin + number * step).isoformat()
        if number < cut - 1:
            part["endpoint"]["params"]["ToDate"] = (begin + (number + 1) * step).isoformat()
        found.append(part)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "key", "database", "state"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--mode", choices=("full", "nightly"), required=True)
    parser.add_argument("--cut", type=int, default=1)
    options = parser.parse_args()
    os.environ.update(SETTINGS)
    import dlt  # noqa: PLC0415 (only now: it reads its settings when it is imported)
    from dlt.sources.rest_api import rest_api_source  # noqa: PLC0415

    client = {"base_url": options.url, "headers": {"XApiKey": options.key}}
    source = rest_api_source(
        {"client": client, "resources": [r for name in LISTINGS for r in ranges(name, options.mode, options.cut)]},
        name="debitura",
        max_table_nesting=1,
        parallelized=True,
    )
    pipeline = dlt.pipeline(
        pipeline_name="league",
        destination=dlt.destinations.duckdb(options.database),
        dataset_name="league",
        pipelines_dir=str(Path(options.state) / "dlt"),
    )
    info = pipeline.run(source, loader_file_format="parquet")
    info.raise_on_failed_jobs()


if __name__ == "__main__":
    main()
