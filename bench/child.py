"""What is measured, in its own process: a sync, its estimate, a replay, transforming pages, or publishing. Prints one line of JSON.

Belongs here: calling the pipeline as the command line does, and counting requests by what they were for. Does not: measuring
the process (`machine.py`). `python -m bench.child sync|plan|replay|shape|publish`, settings from the environment.
"""

from __future__ import annotations

import argparse
import contextvars
import functools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.incremental.base import IncrementalSync
from debitura_pipeline.incremental.cases import CasesSync
from debitura_pipeline.incremental.transactions import TransactionsSync
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.settings import load_settings
from debitura_pipeline.sync import estimate, replay, sync
from debitura_pipeline.warehouse.publish import publish

# Which step of an incremental sync sends a request; the innermost one counts.
STEPS: tuple[tuple[type, str, str], ...] = (
    (IncrementalSync, "refresh_due_days", "periodic refresh"),
    (IncrementalSync, "resolve_missing_by_hour", "rows that left a bucket"),
    (IncrementalSync, "fetch_totals", "totals of windows"),
    (CasesSync, "initial_read", "open and new cases"),
    (CasesSync, "first_round", "closed cases that differ"),
    (CasesSync, "later_round", "closed cases that differ"),
    (CasesSync, "resolve_missing", "cases by id"),
    (CasesSync, "_read_disagreeing_clients", "clients that disagree"),
    (TransactionsSync, "initial_read", "rows that change silently"),
    (TransactionsSync, "first_round", "buckets that differ"),
    (TransactionsSync, "later_round", "buckets that differ"),
)
_step: contextvars.ContextVar[str] = contextvars.ContextVar("step", default="the rest")


def count_requests(parts: Counter[str]) -> None:
    """Count the client's pages and documents by resource and step from now on."""
    for owner, name, label in STEPS:
        if name in vars(owner):
            setattr(owner, name, _labelled(vars(owner)[name], label))
    for name in ("page", "body"):
        setattr(ApiClient, name, _counted(getattr(ApiClient, name), parts))


def _labelled(step: Callable[..., Any], label: str) -> Callable[..., Any]:
    @functools.wraps(step)
    async def run(*args: Any, **kwargs: Any) -> Any:
        token = _step.set(label)
        try:
            return await step(*args, **kwargs)
        finally:
            _step.reset(token)

    return run


def _counted(call: Callable[..., Any], parts: Counter[str]) -> Callable[..., Any]:
    @functools.wraps(call)
    async def run(client: ApiClient, target: Any, *args: Any, **kwargs: Any) -> Any:
        resource = target.listing.resource if hasattr(target, "listing") else "cases"
        parts[f"{resource}: {_step.get()}"] += 1
        return await call(client, target, *args, **kwargs)

    return run


def run_sync(options: argparse.Namespace) -> dict[str, Any]:
    settings, parts = load_settings(), Counter[str]()
    count_requests(parts)
    with open_endpoint(settings) as endpoint:
        reports = sync(settings, endpoint, full=options.full, small_requests=options.small)
    resources = {
        report.resource: {
            "mode": report.mode, "requests": report.requests, "rows": report.rows_read, "verdict": report.verdict,
            "inserted": report.inserted, "changed": report.changed, "deleted": report.deleted, "windows": report.windows,
            "retries": report.retries, "seconds": (report.finished_at - report.started_at).total_seconds(),
        }
        for report in reports
    }  # fmt: skip
    return {"resources": resources, "parts": dict(parts)}


def run_plan(options: argparse.Namespace) -> dict[str, Any]:
    settings, parts = load_settings(), Counter[str]()
    count_requests(parts)
    with open_endpoint(settings) as endpoint:
        found = estimate(settings, endpoint, small_requests=options.small)
    forecasts = {
        resource: {"mode": plan.mode, "requests": cost.requests, "parts": [list(part) for part in cost.parts]}
        for resource, plan, cost in found
    }
    return {"resources": forecasts, "asked": sum(parts.values())}


def run_replay(options: argparse.Namespace) -> dict[str, Any]:
    """Landed files to merged rows with history, into the warehouse that the settings name."""
    began = time.monotonic()
    rows = replay(load_settings())
    return {"rows": sum(rows.values()), "seconds": time.monotonic() - began}


def run_shape(options: argparse.Namespace) -> dict[str, Any]:
    """Pages in memory to landed Parquet files, thirty at a time, as a reading does."""
    pages = [path.read_bytes() for path in sorted(Path(options.pages).glob("*.json"))]
    settings = load_settings()
    rows, began = 0, time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        PageTransformer(settings.privacy, settings.obtain_privacy_key()) as transformer,
    ):
        for seq, start in enumerate(range(0, len(pages), 30), 1):
            transformed = transformer.transform(options.resource, pages[start : start + 30])
            transformed.write(Path(folder) / f"{seq}.parquet", seq)
            rows += transformed.rows
    return {"rows": rows, "seconds": time.monotonic() - began}


def run_publish(options: argparse.Namespace) -> dict[str, Any]:
    """The warehouse that the settings name, as it stands, to the published folder."""
    began = time.monotonic()
    published = publish(load_settings())
    return {"bytes": published.bytes, "seconds": time.monotonic() - began}


RUNS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "sync": run_sync, "plan": run_plan, "replay": run_replay, "shape": run_shape, "publish": run_publish,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=tuple(RUNS))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--small", type=int, default=200, help="requests below which a listing is read whole")
    parser.add_argument("--pages", help="folder of pages to shape")
    parser.add_argument("--resource", choices=tuple(LISTINGS), default="transactions")
    options = parser.parse_args()
    print(json.dumps(RUNS[options.what](options)))


if __name__ == "__main__":
    main()
