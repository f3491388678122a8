"""The metrics file for node_exporter: `<data dir>/metrics/debitura.prom`, replaced in one rename.

Its names are public. What only a run can measure keeps its last value until the next run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.api.connect import RateLimitUsage
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.incidents.facts import Facts, WarehouseFacts
from debitura_pipeline.incidents.findings import last_good
from debitura_pipeline.incidents.kinds import KINDS
from debitura_pipeline.incidents.state import Incident
from debitura_pipeline.sharing import share

FOLDER, FILE = "metrics", "debitura.prom"

Samples = dict[str, dict[str, float]]  # metric, then label value (empty: no label), then value


@dataclass(frozen=True)
class Metric:
    """A metric's help text, and the label that its samples have, if any. `type_`: gauge or counter."""

    help_: str
    label: str | None = None
    type_: str = "gauge"


METRICS = {
    "debitura_last_success_timestamp_seconds": Metric("End of the last good nightly run, Unix time."),
    "debitura_last_night_timestamp_seconds": Metric("End of the last nightly run, good or not, Unix time."),
    "debitura_last_night_success": Metric("1 if the last nightly run was good, else 0."),
    "debitura_rows": Metric("Rows of the raw table that the API still lists.", "resource"),
    "debitura_rows_read": Metric("Rows that the last sync read.", "resource"),
    "debitura_requests": Metric("Requests of the last sync.", "resource"),
    "debitura_proven": Metric("1 if the last sync is proven complete, else 0.", "resource"),
    "debitura_differences": Metric("Control totals that differ between API and warehouse.", "resource"),
    "debitura_quarantined_rows": Metric("Rows in quarantine.", "resource"),
    "debitura_budget_left_requests": Metric("Requests that may still be sent in the period.", "period"),
    "debitura_inbox_age_seconds": Metric("Age of the oldest webhook event that was not handled; 0 if there is none."),
    "debitura_stale_deliveries_total": Metric("Authentic webhook deliveries refused as stale.", type_="counter"),
    "debitura_open_incidents": Metric("Open incidents.", "incident"),
}


def measure(facts: Facts, usage: RateLimitUsage | None, kept: Samples) -> Samples:
    """The current samples. `kept`: the previous ones, for values that the facts lack."""
    found = {name: dict(values) for name, values in kept.items() if name in METRICS}
    nights = facts.nights or ()
    if (good := last_good(nights)) is not None:
        found["debitura_last_success_timestamp_seconds"] = {"": good.ended_at.timestamp()}
    if nights:
        last = max(nights, key=lambda night: night.ended_at)
        found["debitura_last_night_timestamp_seconds"] = {"": last.ended_at.timestamp()}
        found["debitura_last_night_success"] = {"": float(last.is_done)}
    if facts.warehouse is not None:
        found |= _of_warehouse(facts.warehouse)
    if usage is not None:
        left = {"hour": usage.per_hour - usage.in_hour, "day": usage.per_day - usage.in_day}
        found["debitura_budget_left_requests"] = {period: max(float(count), 0.0) for period, count in left.items()}
    if facts.webhooks is not None:
        found["debitura_stale_deliveries_total"] = {"": float(facts.webhooks.stale_total)}
    oldest = [facts.warehouse.oldest_event_at if facts.warehouse else None]
    oldest.append(facts.webhooks.oldest_at if facts.webhooks else None)
    at = min((at for at in oldest if at is not None), default=None)
    found["debitura_inbox_age_seconds"] = {"": max((facts.now - at).total_seconds(), 0.0) if at else 0.0}
    return found


def count_open(incidents: Iterable[Incident]) -> Samples:
    """Open incidents by kind, zeros included, so that an alert rule sees every kind."""
    counted = Counter(incident.kind for incident in incidents)
    return {"debitura_open_incidents": {kind: float(counted[kind]) for kind in KINDS}}


def exposition(samples: Mapping[str, Mapping[str, float]], partner: str | None = None) -> str:
    """The samples in the text format of Prometheus, 0.0.4. `partner`: a label of all of them, where there are several."""
    lines: list[str] = []
    for name, metric in METRICS.items():
        values = samples.get(name)
        if not values:
            continue
        lines += [f"# HELP {name} {metric.help_}", f"# TYPE {name} {metric.type_}"]
        for label, value in values.items():
            labels = {metric.label: label} if metric.label else {}
            labels |= {"partner": partner} if partner is not None else {}
            place = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            lines.append(f"{name}{{{place}}} {_number(value)}" if place else f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def write_metrics(data_dir: Path, samples: Mapping[str, Mapping[str, float]], partner: str | None = None) -> None:
    """Replace the file. `partner`: as above. It inherits the group access of its folder, as published files do. Raises OSError."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = exposition(samples, partner).encode()
    write_private_atomically(folder / FILE, content, fsync=False, finish=lambda draft: share(draft, folder))


def _of_warehouse(facts: WarehouseFacts) -> Samples:
    by_name = {
        "debitura_rows": "live_rows",
        "debitura_rows_read": "rows_read",
        "debitura_requests": "requests",
        "debitura_proven": "is_proven",
        "debitura_quarantined_rows": "quarantined",
    }
    found = {
        name: {fact.resource: float(getattr(fact, field) or 0) for fact in facts.resources}
        for name, field in by_name.items()
    }
    # Without a sync nothing was compared: no sample, rather than a difference of 0.
    found["debitura_differences"] = {
        fact.resource: float(fact.differing) for fact in facts.resources if fact.synced_at is not None
    }
    return found


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
