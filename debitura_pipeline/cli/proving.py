"""`debitura verify` and `debitura reconcile` for people and programs.

Belongs here: the words. Does not: checking (`sync/proof.py`) and comparing (`sync/upkeep.py`). Called by `cli.py`.
"""

from __future__ import annotations

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.tables import totals_table, worth_telling
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync import check_certificates, reconcile
from debitura_pipeline.warehouse.identity import check_identity


def tell_verification(settings: Settings, sync_id: str | None) -> bool:
    """Check certificates and tell which do not hold; whether all do. Raises DebituraError where `sync_id` is not there."""
    verification = check_certificates(settings, sync_id)
    findings = verification.findings
    for note in verification.notes:
        console.say(note)
    if sync_id is not None and not findings:
        raise DebituraError(f"No finished sync {sync_id} in the landing zone; `debitura status` shows the last ones.")
    for finding in findings:
        for fault in finding.faults:
            console.warn(f"{finding.sync_id}: {fault}")
    broken = sum(1 for finding in findings if finding.faults)
    windows, keys = sum(f.windows for f in findings), sum(f.keys for f in findings)
    json_document.give(
        certificates=len(findings),
        windows=windows,
        keys=keys,
        do_not_hold=broken,
        notes=verification.notes,
        findings=[{"sync_id": finding.sync_id, "faults": finding.faults} for finding in findings],
    )
    if broken:
        json_document.fail(f"{broken} of {len(findings)} certificates do not hold")
    console.conclude(f"{len(findings)} certificates, {windows:,} windows, {keys:,} keys checked; {broken} do not hold")
    return not broken


def tell_reconciliation(settings: Settings) -> bool:
    """Compare the API's totals with the warehouse's and tell them; whether none differs."""
    check_identity(settings, with_warehouse=False)
    with open_endpoint(settings) as endpoint:
        found = reconcile(settings, endpoint)
    places = [total for total in found if total.check_name == "place"]
    totals = [total for total in found if total.check_name != "place"]
    shown = worth_telling(totals)
    console.show(totals_table(shown))
    for place in places:
        console.warn(console.place_line(place))
    differing = sum(1 for total in totals if total.verdict == "differs")
    open_ = sum(1 for total in totals if total.verdict == "unproven")
    also = f", {open_} could not be compared" if open_ else ""
    json_document.give(compared=len(totals), differing=differing, not_compared=open_, totals=shown, places=places)
    if differing:
        json_document.fail(f"{differing} of {len(totals)} totals differ")
    console.conclude(f"{len(totals)} totals compared, per client included; {differing} differ{also}")
    return not differing
