"""A large partner's nights: full load, then nights with the change that the project promises to cope with, then a quiet one.

Belongs here: the story and its table. Does not: what a night reads (`debitura_pipeline/extract/`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench import machine, truth, wire

SHARES = ("--open-share", "0.1", "--unsettled-share", "0.04", "--years", "5")
CASES_A_CLIENT = 1_000
FULL_CASES = 1_000_000


def world(cases: int) -> list[str]:
    """Options of the sandbox for a large partner with so many cases."""
    clients = max(20, cases // CASES_A_CLIENT)
    sizes = ["--clients", str(clients), "--cases", str(cases), "--transactions", str(3 * cases)]
    return [*sizes, *SHARES, "--cache-mib", "1024"]


def small_limit(cases: int) -> list[str]:
    """On worlds scaled down to try things out, the plan for large partners is asked for all the same."""
    return [] if cases >= FULL_CASES else ["--small", "1"]


def measure(nights: int, cases: int, keep: Path | None = None) -> None:
    """`keep`: work in this folder and leave it there, to look into afterwards."""
    with machine.sandbox(*world(cases)) as address, tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = keep or Path(name)
        env = machine.settings(address, folder / "data")
        truth.warm(address)
        cost, found = machine.child("sync", env, "--full")
        full = _requests(found)
        print(
            f"{cases:,} cases, {3 * cases:,} transactions, five years. Full load: {full:,} requests, {cost.wall_s:.0f} s wall, "
            f"{cost.cpu_s:.0f} s CPU, {cost.peak_mib:.0f} MiB peak ({machine.load_now()})",
            flush=True,
        )
        _say_differences("after the full load", truth.compare_warehouse(address, folder / "data", folder / "truth"))
        print("\n| night | forecast | requests | part of a full read | wall s | CPU s | peak MiB | verdicts | right |")
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        told = []
        for number in range(1, nights + 2):
            scale = cases / FULL_CASES if number <= nights else 0
            changed = wire.admin(address, "change", {"op": "night", "scale": scale})["changed"]
            told.append(_night(address, env, folder, number if scale else 0, full, cases, changed))
    for text in told:
        print(f"\n{text}", flush=True)


def _night(
    address: str, env: dict[str, str], folder: Path, number: int, full: int, cases: int, changed: dict[str, int]
) -> str:
    """One row of the table; returns what to say of the night at length."""
    limit = small_limit(cases)
    _, plan = machine.child("plan", env, *limit)
    cost, found = machine.child("sync", env, *limit)
    spent, foreseen = _requests(found), _requests(plan)
    differences = truth.compare_warehouse(address, folder / "data", folder / "truth")
    unseen = sum(d.stale - d.seen for d in differences.values())
    wrong = sum(d.lost + d.ghosts + d.seen for d in differences.values())
    right = ("yes" if not wrong else f"NO: {wrong} rows") + (f", {unseen} unseen" if unseen else "")
    verdicts = "/".join(sorted({r["verdict"] for r in found["resources"].values()}))
    name = f"{number}" if number else "quiet"
    print(
        f"| {name} | {foreseen:,} ({foreseen / spent - 1:+.1%}) | {spent:,} | 1/{full / spent:.1f} | {cost.wall_s:.1f} | "
        f"{cost.cpu_s:.1f} | {cost.peak_mib:.0f} | {verdicts} | {right} |",
        flush=True,
    )
    return "\n".join(
        [
            f"Night {name} ({machine.load_now()}), changed: {changed or 'nothing'}; the forecast took {plan['asked']} requests",
            *_parts(found, plan),
            *(f"- {resource}: {d}" for resource, d in differences.items() if not d.is_none),
        ]
    )


def _parts(found: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    lines = []
    for resource, report in found["resources"].items():
        of = {n.partition(": ")[2]: c for n, c in found["parts"].items() if n.startswith(f"{resource}: ")}
        real = ", ".join(f"{name} {count:,}" for name, count in sorted(of.items(), key=lambda item: -item[1]))
        foreseen = plan["resources"][resource]
        told = ", ".join(f"{name} {cost:,.0f}" for name, cost in foreseen["parts"] if cost)
        lines.append(
            f"- {resource} ({report['mode']}): {report['requests']:,} requests ({real}); foreseen {foreseen['requests']:,} "
            f"({told}); +{report['inserted']:,} ~{report['changed']:,} -{report['deleted']:,}, totals {report['verdict']}"
        )
    return lines


def _requests(found: dict[str, Any]) -> int:
    return sum(int(resource["requests"]) for resource in found["resources"].values())


def _say_differences(when: str, differences: dict[str, truth.Difference]) -> None:
    wrong = {resource: d for resource, d in differences.items() if not d.is_none}
    rows = sum(d.rows for d in differences.values())
    print(f"Warehouse and world {when}: {rows:,} rows, " + (f"DIFFERENT: {wrong}" if wrong else "equal"), flush=True)
