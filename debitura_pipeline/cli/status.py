"""Output of `debitura status`. The facts come from `status/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from debitura_pipeline.cli import console
from debitura_pipeline.cli.tables import FittedTable
from debitura_pipeline.plural import counted
from debitura_pipeline.settings import Settings
from debitura_pipeline.status.document import read_status_document
from debitura_pipeline.status.times import format_age, format_clock_time, format_duration

COUNTS = ("requests", "live rows", "deleted rows")
MAX_NAMED = 3  # clients


def show_status(settings: Settings) -> dict[str, Any]:
    """Print the status, and return it as plain values for `--json`."""
    now = datetime.now(UTC)
    found = read_status_document(settings, now)
    if found["resources"]:
        console.show(_syncs(found["resources"], now, has_own_clock=found["has_own_clock"]))
        console.say()
    if found["nights"]:
        console.show(_nights(found["nights"], now))
        for night in found["nights"]:
            if night["reason"]:
                console.say(f"  {format_age(_at(night['started_at']), now)}: {night['reason']}")
        console.say()
    for line in _lines(found, now):
        console.say(line)
    for incident in found["incidents"]:
        since = format_age(_at(incident["since"]), now)
        console.warn(f"incident: {incident['title']} ({incident['subject']}), since {since}; next: {incident['next']}")
    for problem in found["problems"]:
        console.warn(f"open: {problem}")
    counts = {"open problem": len(found["problems"]), "open incident": len(found["incidents"])}
    named = " and ".join(counted(count, noun) for noun, count in counts.items() if count)
    console.conclude(f"{named or 'No open problems'}.")
    if settings.uses_embedded_sandbox:
        console.say(console.SIMULATED)
    return found


def _syncs(resources: Mapping[str, Mapping[str, Any]], now: datetime, *, has_own_clock: bool) -> FittedTable:
    """One row per resource: freshness, row counts, outcome of the last sync."""
    rows = [
        (
            resource,
            _as_of(facts["as_of"], now, has_own_clock=has_own_clock) if facts["as_of"] else "never",
            facts["sync_id"] or "none",
            facts["mode"] or "",
            facts["status"] or "",
            {None: "", True: "proven", False: "not proven"}[facts["is_proven"]],
            *(f"{facts[name.replace(' ', '_')] or 0:,}" for name in COUNTS),
        )
        for resource, facts in resources.items()
    ]
    head = ("resource", "as of", "last sync", "plan", "status", "proof", *COUNTS)
    return FittedTable(head, rows, right=frozenset(COUNTS))


def _nights(nights: list[dict[str, Any]], now: datetime) -> FittedTable:
    rows = [
        (
            format_age(_at(night["started_at"]), now),
            "" if night["duration_s"] is None else format_duration(timedelta(seconds=night["duration_s"])),
            night["verdict"],
            night["started_by"],
        )
        for night in nights
    ]
    return FittedTable(("nightly run", "took", "result", "started by"), rows, right=frozenset({"took"}))


def _lines(found: Mapping[str, Any], now: datetime) -> Iterator[str]:
    if found["note"]:
        yield f"Note: {found['note']}"
    yield _published(found["published"], now, has_own_clock=found["has_own_clock"])
    if run := found["run"]:
        yield f"In progress: {run['what']}, process {run['pid']} on host {run['host']}, since {_since(run['since'], now)}"
    queue = found["queue"]
    if queue["queued"] or queue["on"]:
        parts = [
            f"{count} {job} {label}"
            for state, label in (("on", "running"), ("queued", "queued"))
            for job, count in queue[f"{state}_by_job"].items()
        ]
        yield f"Dagster runs: {', '.join(parts)}"
    waiting = found["waiting_to_sign"]
    if waiting["count"]:
        at = waiting["longest_since"]
        since = f", since {_as_of(at, now, has_own_clock=found['has_own_clock'])}" if at else ""
        yield f"Waiting to sign: {waiting['count']}; longest: {waiting['longest_tenant_id']}{since}"
    if again := found["must_sign_again"]:
        more = f" and {len(again) - MAX_NAMED} more" if len(again) > MAX_NAMED else ""
        named = f"{', '.join(again[:MAX_NAMED])}{more}"
        yield f"Must sign a new agreement: {len(again)} ({named}); their links: `debitura clients links`"
    if store := found["shared_store"]:
        when = f"up to date {format_age(_at(store['agreed_at']), now)}" if store["agreed_at"] else "not used yet"
        yield f"Shared store {store['url']}: {when}"
    if spent := found["budget"]:
        yield (
            f"Requests: {spent['in_hour']:,} of {spent['per_hour']:,} this hour, "
            f"{spent['in_day']:,} of {spent['per_day']:,} today"
        )


def _published(published: Mapping[str, Any] | None, now: datetime, *, has_own_clock: bool) -> str:
    if published is None:
        return "Nothing is published yet; run `debitura nightly`."
    at = format_age(_at(published["published_at"]), now)
    if published["as_of"] is None:
        return f"Published {at}: {published['file']}"
    as_of = _as_of(published["as_of"], now, has_own_clock=has_own_clock)
    return f"Published as of {as_of} (written {at}): {published['file']}"


def _as_of(text: str, now: datetime, *, has_own_clock: bool) -> str:
    """With its age, except for simulated data: the sandbox has a calendar of its own."""
    return format_clock_time(_at(text), now) if has_own_clock else format_age(_at(text), now)


def _since(text: str, now: datetime) -> str:
    try:
        return format_age(_at(text), now)
    except ValueError:
        return text


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
