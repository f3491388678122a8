"""`debitura tour`: a referral partner's five steps, played against a sandbox of its own in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from debitura_pipeline import registration, submission
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.cli import console, json_document
from debitura_pipeline.errors import ApiError, DebituraError, SettingsError
from debitura_pipeline.onboarding.access import AccessCheck, try_access
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.orchestration.nightly import NightlyResult, run_job
from debitura_pipeline.outbound.plan_document import PlanDocument
from debitura_pipeline.registration.record import read_registrations
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.submission.record import read_records
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.published_folder import WAREHOUSE
from debitura_sandbox.demo.files import write_claims, write_roster
from debitura_sandbox.demo.roster import demo_tenant
from debitura_sandbox.server import embedded

MARK = ".debitura-tour"  # in a folder that a tour made, and may therefore replace
WORLD = ("--clients", "3", "--cases", "60", "--transactions", "120")
TENANT = demo_tenant(0)
CLAIMS = 3
DAYS = 75  # after which fees of payments of the first day have been invoiced
FIGURES = """SELECT (SELECT count(*) FROM marts.fct_cases JOIN ops.submissions USING (case_id)), count(*),
    coalesce(sum(referral_fee_usd), 0), coalesce(sum(referral_fee_usd) FILTER (revenue_stage <> 'Pending'), 0)
    FROM marts.fct_transactions JOIN ops.submissions USING (case_id)"""


class TourError(DebituraError):
    """A step of the tour did not end as it should."""


@dataclass(frozen=True)
class Figures:
    """What the tour ends with, as published: its cases, payments on them, and referral fees in USD."""

    cases: int
    payments: int
    fees_usd: Decimal
    confirmed_fees_usd: Decimal


def play(folder: Path) -> Figures:
    """Play all five steps, and print each in a line or two. Raises SettingsError for a folder of somebody else, TourError."""
    settings = _prepare(folder)
    console.say(f"A partner's five steps against a simulated API, in {folder}. Nothing leaves this machine.\n")
    with embedded.running(settings.data_dir, arguments=WORLD):
        creditor_id = _register(settings)
        _sign(settings)
        _mint_token(settings, creditor_id)
        case_ids = _submit(settings)
        _collect(settings, case_ids)
        result = _track(settings)
        figures = _published(settings)
    _conclude(settings, result, figures)
    return figures


def _prepare(folder: Path) -> Settings:
    """An empty folder with a roster and claims, and settings that know nothing but it."""
    if folder.exists():
        if not (folder / MARK).is_file() and any(folder.iterdir()):
            raise SettingsError(f"{folder} is not empty and no tour made it. Example: debitura tour --folder tour")
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
    (folder / MARK).touch(mode=0o600)
    write_roster(folder / "roster.csv", 1)
    write_claims(folder / "claims.csv", CLAIMS, [TENANT])
    values = {
        "DEBITURA_DATA_DIR": "data",
        "DEBITURA_ROSTER": "roster.csv",
        "DEBITURA_CLAIMS": "claims.csv",
        "DEBITURA_WRITES": "clients,cases",
    }
    return load_settings(values, root=folder)


def _register(settings: Settings) -> str:
    _begin(1, "Register", "the client in roster.csv becomes a client at Debitura")
    with open_endpoint(settings) as endpoint:
        applied = registration.apply_registrations(settings, endpoint)
        again = registration.apply_registrations(settings, endpoint)
    with open_warehouse(settings, read_only=True) as warehouse:
        recorded = read_registrations(warehouse).get(TENANT)
    if recorded is None or recorded.creditor_id is None:
        raise TourError(f"{TENANT} was not registered: {_states(applied.document)}.")
    _tell(
        f"POST /clients for {TENANT}, after its intent was stored",
        f"{_states(applied.document)}; client {recorded.creditor_id}. Applied again: {again.sent} sent",
    )
    return recorded.creditor_id


def _sign(settings: Settings) -> None:
    _begin(2, "Sign", "the client opens its link and signs; the sandbox plays the client")
    with open_endpoint(settings) as endpoint:
        before = registration.client_links(settings, endpoint, TENANT)
        embedded.sign_client(settings.data_dir, TENANT)
        found = registration.plan_registrations(settings, endpoint)
    _tell(
        f"{len(before)} signing link, printed by `debitura clients links` and stored nowhere", _states(found.document)
    )


def _mint_token(settings: Settings, creditor_id: str) -> None:
    _begin(3, "Token", "a token opens the Customer API for this client alone")
    ref = ClientRef(TENANT, creditor_id)
    with open_endpoint(settings) as endpoint:
        access: AccessCheck | ApiError = try_access(settings, endpoint, [ref])[ref]
    if isinstance(access, ApiError):
        raise access
    _tell("POST /oauth/token, then GET /me with the token", f"valid for {access.expires_in_s} s; kept in memory only")


def _submit(settings: Settings) -> list[str]:
    _begin(4, "Submit", f"the {CLAIMS} overdue invoices in claims.csv become cases, each exactly once")
    with open_endpoint(settings) as endpoint:
        planned = submission.plan_claims(settings, endpoint).document
        applied = submission.apply_claims(settings, endpoint)
        again = submission.apply_claims(settings, endpoint)
    with open_warehouse(settings, read_only=True) as warehouse:
        case_ids = [record.case_id for record in read_records(warehouse) if record.case_id is not None]
    if len(case_ids) != CLAIMS:
        raise TourError(f"Not every claim became a case: {_states(applied.document)}.")
    sums = ", ".join(f"{amount:,f} {currency}" for currency, amount in sorted(planned.sums.items()))
    _tell(
        f"{CLAIMS} previews, which create nothing: {sums}; then {applied.sent} POST /cases, each with its idempotency key",
        f"{_states(applied.document)}. Applied again: {again.sent} sent",
    )
    return case_ids


def _collect(settings: Settings, case_ids: Sequence[str]) -> None:
    with embedded.running(settings.data_dir) as sandbox:
        for case_id in case_ids[:-1]:
            embedded.collect_case(sandbox, case_id, to="Closed:Paid")
    embedded.advance(settings.data_dir, DAYS)


def _track(settings: Settings) -> NightlyResult:
    _begin(5, "Track", f"{CLAIMS - 1} debtors pay, {DAYS} days pass, and a nightly run reads what became of it")
    result = run_job(settings)
    if not result.success:
        raise TourError(f"The nightly run failed: {result.error or 'a blocking check failed'}.")
    return result


def _published(settings: Settings) -> Figures:
    with duckdb.connect(str(settings.published_dir / WAREHOUSE), read_only=True) as published:
        cases, payments, fees, confirmed = published.execute(FIGURES).fetchall()[0]
    return Figures(int(cases), int(payments), fees, confirmed)


def _conclude(settings: Settings, result: NightlyResult, figures: Figures) -> None:
    requests = sum(report.requests for report in result.reports)
    proven = "proven complete" if all(report.is_proven for report in result.reports) else "NOT proven complete"
    page = settings.reports_dir / "partner-report.html"
    _tell(
        f"{requests} requests of the nightly run",
        f"{figures.cases} cases with {figures.payments} payments and {figures.fees_usd:,.2f} USD of referral fees, "
        f"{figures.confirmed_fees_usd:,.2f} of them confirmed; {proven}",
    )
    json_document.give(
        tenant=TENANT,
        cases=figures.cases,
        payments=figures.payments,
        fees_usd=figures.fees_usd,
        confirmed_fees_usd=figures.confirmed_fees_usd,
        published=settings.published_dir / WAREHOUSE,
        report=page,
    )
    console.say(
        "SIMULATED DATA, in this folder alone. The sandbox files more cases for every client as days pass; the report has "
        "them, too."
    )
    console.conclude(f"Open the report: {page.as_uri()}")


def _begin(number: int, name: str, what: str) -> None:
    console.say(f"{number} {name}: {what}.")


def _tell(sent: str, received: str) -> None:
    console.say(f"    sent:     {sent}\n    received: {received}\n")


def _states(document: PlanDocument) -> str:
    return ", ".join(f"{count} {state}" for state, count in document.summary.items()) or "nothing"
