"""Output of `debitura partners report` and `partners fleet-sql`. The facts come from `fleet/`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.partners import summary
from debitura_pipeline.fleet.members import FleetMember
from debitura_pipeline.fleet.money import Amounts, FleetMoney
from debitura_pipeline.settings import open_partners


def write_fleet_report() -> bool:
    """Write file and page, and print what is wrong; whether all published data could be read. Raises SettingsError,
    WarehouseError."""
    from debitura_pipeline.fleet import write_fleet  # noqa: PLC0415 - takes a while to load

    now = datetime.now(UTC)
    facts = write_fleet(*open_partners(), now=lambda: now)
    for member in facts.members:
        if member.fault:
            console.warn(f"FAIL {member.name}: {member.fault}")
            json_document.fail(f"{member.name}: {member.fault}")
    told = summary([member.standing for member in facts.members], now)
    console.say(told)
    console.say(f"Written: {facts.data}")
    console.conclude(f"Written: {facts.page} ({told[:-1]})")
    json_document.give(
        report=facts.page,
        data=facts.data,
        month=facts.money.month,
        partners=[_facts(member, facts.money, now) for member in facts.members],
    )
    return not any(member.fault for member in facts.members)


def print_fleet_sql() -> None:
    """Print the script. Raises SettingsError."""
    from debitura_pipeline.fleet.postgres import fleet_sql  # noqa: PLC0415

    sql = fleet_sql(*open_partners())
    sys.stdout.write(sql)
    json_document.give(fleet_sql=sql)


def _facts(member: FleetMember, money: FleetMoney, now: datetime) -> dict[str, Any]:
    currencies = {
        currency: _amounts(found) for (partner, currency), found in money.by_currency.items() if partner == member.name
    }
    return {
        **member.standing.facts(now),
        "published_at": member.night and member.night.published_at,
        "fault": member.fault,
        "usd": _amounts(money.usd.get(member.name, Amounts())),
        "by_currency": currencies,
    }


def _amounts(found: Amounts) -> dict[str, Any]:
    return {"last_month": found.last_month, "this_month": found.this_month, "still_to_come": found.to_come}
