"""Output of `debitura clients`. The work is in `registration/`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline import registration
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.cli import console
from debitura_pipeline.cli.outbound import apply_outbound, show_applied, show_document, summary_of
from debitura_pipeline.errors import SourceError
from debitura_pipeline.outbound.permission import CLIENTS, require_writes
from debitura_pipeline.plural import counted
from debitura_pipeline.registration.gather import known_situation, plan_from, read_wanted
from debitura_pipeline.registration.states import PLANNED
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import RosterClient, SourceRead
from debitura_pipeline.source.read import ensure_set
from debitura_pipeline.source.roster import ROSTER
from debitura_pipeline.warehouse.identity import check_identity


def show_clients_plan(settings: Settings, out: Path | None, *, allow_shrink: bool, again: Sequence[str] = ()) -> None:
    """Print the plan, and keep it in `out`. Raises DebituraError."""
    ensure_set(settings.outbound.roster, ROSTER)
    check_identity(settings, with_warehouse=False)  # before an embedded sandbox writes to the data directory
    with open_endpoint(settings) as endpoint:
        found = registration.plan_registrations(settings, endpoint, allow_shrink=allow_shrink, again=again)
    if out is not None:
        found.document.keep(out)
    show_document(found.document, found.roster.unknown)
    count = sum(client.is_sent for client in found.clients)
    kept = f" The plan is saved in {out} and valid for 24 hours." if out else ""
    console.conclude(f"{count} client{'' if count == 1 else 's'} would be sent; nothing was sent.{kept}")


def apply_clients(settings: Settings, kept: Path | None, *, allow_shrink: bool, again: Sequence[str] = ()) -> bool:
    """Apply the plan and print what came of it. False if a client is refused or in doubt, or the apply stopped early.

    Raises DebituraError.
    """
    require_writes(settings, CLIENTS)
    ensure_set(settings.outbound.roster, ROSTER)
    check_identity(settings, with_warehouse=False)
    found = apply_outbound(
        settings, ROSTER, lambda endpoint: registration.apply_registrations(
            settings, endpoint, kept, allow_shrink=allow_shrink, again=again
        ),
    )  # fmt: skip
    show_applied(found, is_open="clients are refused or in doubt")
    console.conclude(f"{found.sent} sent. {summary_of(found.document) or 'The roster is empty'}.")
    return not found.is_open


def print_links(settings: Settings, tenant: str | None) -> None:
    """Print one line per client: tenant, state, and the link or why there is none. Raises DebituraError."""
    check_identity(settings, with_warehouse=False)
    with open_endpoint(settings) as endpoint:
        found = registration.client_links(settings, endpoint, tenant)
    for one in found:
        sys.stdout.write(f"{one.tenant}  {one.state}  {one.url or one.remark}\n")
    if not found:
        console.say("No client has to sign or approve.")


def show_clients_status(settings: Settings) -> None:
    """Print the state of each wanted client, from the roster and the warehouse.

    A roster that cannot be read is reported, and what is recorded is shown. Raises WarehouseError.
    """
    now = datetime.now(UTC)
    situation = known_situation(settings, now)
    roster = _roster(settings, now)
    found = plan_from(settings, roster, situation, uses_listing=False)
    show_document(found.document, roster.unknown)
    waiting = found.document.summary.get(PLANNED, 0)
    console.conclude(f"{counted(len(found.clients), 'client')}, {waiting} not sent yet.")


def _roster(settings: Settings, now: datetime) -> SourceRead[RosterClient]:
    try:
        return read_wanted(settings, now, is_noted=False)
    except SourceError as error:
        console.warn(str(error))
        return SourceRead("no roster", ())
