"""Output of `debitura verify` and `debitura reconcile`. The checks are in `sync/proof.py` and `sync/reconciliation.py`."""

from __future__ import annotations

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.tables import totals_table, worth_showing
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.plural import counted
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync import check_certificates, reconcile
from debitura_pipeline.warehouse.identity import check_identity


def verify_certificates(settings: Settings, sync_id: str | None) -> bool:
    """Check certificates and print each fault; whether all hold. Raises DebituraError if there is no sync `sync_id`."""
    verification = check_certificates(settings, sync_id)
    findings = verification.findings
    for note in verification.notes:
        console.say(note)
    if sync_id is not None and not findings:
        raise DebituraError(f"No finished sync {sync_id} in the landing zone; `debitura status` shows the latest ones.")
    for finding in findings:
        for fault in finding.faults:
            console.warn(f"{finding.sync_id}: {fault}")
    failed = sum(1 for finding in findings if finding.faults)
    windows, keys = sum(f.windows for f in findings), sum(f.keys for f in findings)
    json_document.give(
        certificates=len(findings),
        windows=windows,
        keys=keys,
        do_not_hold=failed,
        notes=verification.notes,
        findings=[{"sync_id": finding.sync_id, "faults": finding.faults} for finding in findings],
    )
    if failed:
        json_document.fail(f"{failed} of {len(findings)} certificates failed")
    if not findings:
        console.conclude("Nothing was checked: the landing zone has no finished sync yet.")
        return True
    console.conclude(
        f"{counted(len(findings), 'certificate')}, {counted(windows, 'window')}, {counted(keys, 'key')} checked; {failed} failed"
    )
    return not failed


def reconcile_totals(settings: Settings) -> bool:
    """Compare the API's totals with the warehouse's and print them; whether all are equal.

    Raises ApiError, WarehouseError or IdentityRefused if they cannot be compared.
    """
    check_identity(settings, with_warehouse=False)
    with open_endpoint(settings) as endpoint:
        found = reconcile(settings, endpoint)
    locations = [total for total in found if total.check_name == "place"]
    totals = [total for total in found if total.check_name != "place"]
    shown = worth_showing(totals)
    console.show(totals_table(shown))
    for location in locations:
        console.warn(console.difference_line(location))
    differing = sum(1 for total in totals if total.verdict == "differs")
    open_ = sum(1 for total in totals if total.verdict == "unproven")
    also = f", {open_} could not be compared" if open_ else ""
    json_document.give(compared=len(totals), differing=differing, not_compared=open_, totals=shown, places=locations)
    if differing:
        json_document.fail(f"{differing} of {len(totals)} totals differ")
    console.conclude(f"{counted(len(totals), 'total')} compared, including those per client; {differing} differ{also}")
    return not differing
