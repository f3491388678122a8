"""Output of `debitura cases`. The work is in `submission/`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline import submission
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.outbound import apply_outbound, show_applied, show_document, summary_of
from debitura_pipeline.errors import SettingsError, SourceError
from debitura_pipeline.outbound.permission import CASES, require_writes
from debitura_pipeline.settings import Settings
from debitura_pipeline.source.claims import CLAIMS
from debitura_pipeline.source.read import ensure_set
from debitura_pipeline.submission.probe import probe_writes
from debitura_pipeline.submission.settle import settle_claim
from debitura_pipeline.submission.states import PLANNED, SENT
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.run_lock import exclusive_run

MEASURED = {
    "keys_honoured": "A1, a repeated key gives the same case",
    "late_effect": "A2, an unanswered request took effect late",
    "lookup_delay_s": "A3, seconds until a new case is shown",
    "refuses_duplicates": "A4, a second case with the same reference is refused",
}


def show_cases_plan(settings: Settings, out: Path | None, *, allow_shrink: bool) -> bool:
    """Print the plan, and keep it in `out`. False if the limit of requests did not suffice for all claims. Raises DebituraError."""
    ensure_set(settings.outbound.claims, CLAIMS)
    check_identity(settings, with_warehouse=False)  # before an embedded sandbox writes to the data directory
    with open_endpoint(settings) as endpoint:
        found = submission.plan_claims(settings, endpoint, allow_shrink=allow_shrink)
    is_kept = out is not None and found.stopped is None
    if out is not None and is_kept:
        found.document.keep(out)
    show_document(found.document, found.source.unknown)
    due = [claim.state for claim in found.claims if claim.is_due]
    in_doubt = (
        f", {_claims(due.count(SENT))} in doubt would be looked up again and sent once more if no case is shown"
        if SENT in due
        else ""
    )
    kept = f" The plan is saved in {out} and valid for 24 hours." if is_kept else ""
    if found.stopped is not None:
        why = f"not every claim was looked up: {found.stopped}{' The plan is not saved.' if out else ''}"
        console.warn(why)
        json_document.fail(why)
    console.conclude(f"{_claims(due.count(PLANNED))} would be sent{in_doubt}; nothing was sent.{kept}")
    return found.stopped is None


def apply_cases(settings: Settings, kept: Path | None, *, allow_shrink: bool) -> bool:
    """Apply the plan and print what came of it. False if a claim is refused, in doubt or was not sent although planned, or the
    apply stopped early.

    Raises DebituraError.
    """
    require_writes(settings, CASES)
    ensure_set(settings.outbound.claims, CLAIMS)
    check_identity(settings, with_warehouse=False)
    found = apply_outbound(
        settings, CLAIMS, lambda endpoint: submission.apply_claims(settings, endpoint, kept, allow_shrink=allow_shrink)
    )
    show_applied(found, is_open="claims are refused, in doubt or could not be sent")
    if found.stopped is None and (unsent := found.document.summary.get(PLANNED, 0)):
        console.warn(f"{_claims(unsent)} could not be sent although planned; the next run tries again")
    console.conclude(f"{found.sent} sent. {summary_of(found.document) or 'The source is empty'}.")
    return not found.is_open


def show_cases_status(settings: Settings) -> None:
    """Print the state of each claim. A source that cannot be read is reported, and what is recorded is shown.

    Raises WarehouseError.
    """
    now, nothing = datetime.now(UTC), "the source is empty"
    try:
        document = submission.claims_status(settings, now)
    except SourceError as error:
        console.warn(str(error))
        document, nothing = submission.claims_status(settings, now, with_source=False), "none is recorded"
    show_document(document)
    console.conclude(f"{_claims(len(document.rows))}: {summary_of(document) or nothing}.")


def settle_case(
    settings: Settings, claim: tuple[str, str], case_id: str | None, creditor_id: str | None, *, is_absent: bool
) -> None:
    """Record what a person found out about a claim in doubt. `claim`: tenant and reference.

    Raises SettingsError without exactly one of a case and `is_absent`, NotSettled, WarehouseError.
    """
    if (case_id is None) != is_absent:
        raise SettingsError("Give either --case ID or --no-case.")
    check_identity(settings)
    now = datetime.now(UTC)
    record = settle_claim(settings, *claim, now, case_id=case_id, creditor_id=creditor_id)
    shown = ("external_tenant_id", "creditor_reference", "creditor_id", "state", "case_id")
    json_document.give(settled={name: getattr(record, name) for name in shown})
    if case_id is None:
        console.conclude(
            f"Recorded: {record.creditor_reference} has no case. The next apply sends it if the source still has its row."
        )
        return
    if record.reference is None:
        console.warn("the case is not among those that the last reading listed, so it was not compared with the claim")
    console.conclude(
        f"Recorded: {record.creditor_reference} was submitted as case {record.reference or record.case_id}."
    )


def show_probe(settings: Settings) -> None:
    """Measure the API's undocumented behaviour and print what was found. Raises DebituraError."""
    check_identity(settings, with_warehouse=False)
    with open_endpoint(settings) as endpoint, exclusive_run(settings, "doctor --probe-writes"):
        facts = probe_writes(settings, endpoint)
    for name, meaning in MEASURED.items():
        value = getattr(facts, name)
        console.say(f"{meaning}: {'not measured' if value is None else value}")
    json_document.give(facts=asdict(facts))
    console.conclude(f"Measured on {facts.api}, the test cases are deleted.")


def _claims(count: int) -> str:
    return f"{count} claim{'' if count == 1 else 's'}"
