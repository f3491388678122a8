"""Render a case as the Customer API does (InvoiceDto), and its contract status."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from debitura_sandbox.api.case_rules import client_errors, handoff, signing_url, uplift_points
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import case_document, company_document, money, name_of_debtor
from debitura_sandbox.world import codes, people
from debitura_sandbox.world.addresses import COUNTRIES, PARTNERS
from debitura_sandbox.world.codes import DAY_US, NULL_US
from debitura_sandbox.world.columns import from_us
from debitura_sandbox.world.submitted import SubmittedCase
from debitura_sandbox.world.world import World

SAME_KEYS = (
    "id", "dateCreated", "reference", "creditorReference", "grossAmount", "remainder", "currency", "lifecycle", "dueDate",
    "dateFinished", "dateCollectionStarted", "closeCode", "currentEngagementPhase",
)  # fmt: skip
ALWAYS_EMPTY = (
    "claimType", "creditorDivisionId", "bankAccount", "solutionUrl", "exclusivePeriodEndDate", "disputeStatus",
)  # fmt: skip


def invoice_document(context: Context, row: int, return_url: Any = None) -> dict[str, Any]:
    """One case, as InvoiceDto."""
    world = context.world
    listed, submitted = case_document(world, row), world.submissions.cases.get(row)
    sent = submitted.people if submitted else {}
    email = sent.get("assignedUserEmail")
    return {
        **{key: listed[key] for key in SAME_KEYS},
        **dict.fromkeys(ALWAYS_EMPTY),
        **_pricing(world, row, submitted),
        "dateUpdated": _text(updated_us(world, row)),
        "creditorComments": sent.get("comments"),
        "claimDescription": sent.get("claimDescription"),
        "interestFees": Decimal(0),
        "reminderFees": Decimal(0),
        "collectionFees": Decimal(0),
        "totalAddedFees": Decimal(0),
        "isTestCase": bool(submitted and submitted.is_test),
        "date": _text(date_us(world, row)),
        "debtor": debtor_document(world, row, submitted),
        "collectionPartner": _partner(world, row),
        "creditor": creditor_document(world, int(world.cases["client"][row])),
        "signingHandoff": _handoff(context, row, return_url),
        "validation": {"needsInfo": listed["validation"]["needsInfo"]},
        "assignedUser": {"email": email, "name": None} if email else None,
        "allocationOutstanding": {
            "principal": listed["remainder"], "interest": Decimal(0), "reminderFees": Decimal(0), "collectionFees": Decimal(0),
        },
    }  # fmt: skip


def debtor_document(world: World, row: int, submitted: SubmittedCase | None) -> dict[str, Any]:
    """The debtor as DebtorDto: what was sent, or what the world invents."""
    country = COUNTRIES[int(world.cases["country"][row])]
    is_person = people.is_person(int(world.cases["country"][row]), int(world.cases["head"][row]))
    sent = submitted.people.get("debtor", {}) if submitted else {}
    names = ("contactPerson", "companyRegistrationNumber", "address", "zipCode", "city", "state", "email", "phone")
    return {
        "type": sent.get("type") or ("Private" if is_person else "Company"),
        "name": name_of_debtor(world, row) or "Unknown",
        **{name: sent.get(name) for name in names},
        "stateAlpha2": submitted.state if submitted else None,
        "countryAlpha2": country.alpha2,
        "country": country.name,
    }


def creditor_document(world: World, client: int) -> dict[str, Any]:
    """The client as CreditorDto."""
    return company_document(world, client) | {"officePhone": None, "state": None, "division": None}


def contract_status(context: Context, row: int) -> dict[str, Any]:
    """CaseContractStatusApiDTO of a case."""
    world, client = context.world, int(context.world.cases["client"][row])
    partner = int(world.cases["partner"][row])
    lacks_poa = "MissingPowerOfAttorney" in world.submissions.lacking.get(client, ())
    is_assigned = partner >= 0
    return {
        "sdca": agreement(context, client),
        "poa": _contract(not lacks_poa, False, signing_url(context, client, "MissingPowerOfAttorney"))
        if is_assigned or lacks_poa
        else None,
        "pricingAppendix": None,
        "collectionPartnerName": PARTNERS[partner].name if is_assigned else None,
        "needsPoaSigning": lacks_poa,
    }


def agreement(context: Context, client: int) -> dict[str, Any]:
    """The collection agreement of a client, as ContractItemDto."""
    is_signed, is_upgrade = (bool(context.world.clients[name][client]) for name in ("done", "is_upgrade"))
    return _contract(is_signed, is_upgrade, signing_url(context, client, "MissingDebtCollectionContract"))


def updated_us(world: World, row: int) -> int:
    """The latest instant at which something is known to have happened to a case."""
    return max(int(world.cases[name][row]) for name in ("created", "started", "finished", "responded"))


def date_us(world: World, row: int) -> int:
    """The date of a case's claim; by convention of the sandbox, thirty days before it was due."""
    submitted = world.submissions.cases.get(row)
    return submitted.date_us if submitted else int(world.cases["due"][row]) - 30 * DAY_US


def _contract(is_signed: bool, requires_resigning: bool, url: str | None) -> dict[str, Any]:
    return {
        "signed": is_signed, "requiresResigning": requires_resigning and not is_signed,
        "solutionUrl": None if is_signed else url,
    }  # fmt: skip


def _pricing(world: World, row: int, submitted: SubmittedCase | None) -> dict[str, Any]:
    partner = int(world.cases["partner"][row])
    if partner < 0 and submitted:
        partner = submitted.partner
    points = None
    if submitted and submitted.over_12 is not None and submitted.over_24 is not None:
        points = uplift_points(money(world.cases["gross"][row]), money(submitted.over_12), money(submitted.over_24))
    is_pre_legal = int(world.cases["phase"][row]) <= 0
    fee = PARTNERS[partner].fee_pct + (points or 0) if partner >= 0 and is_pre_legal else None
    return {"blendedAgeUpliftPoints": points, "preLegalSuccessFee": None if fee is None else Decimal(fee)}


def _partner(world: World, row: int) -> dict[str, Any] | None:
    number = int(world.cases["partner"][row])
    if number < 0:
        return None
    site = f"https://partner-{number}.example"
    return {
        "name": PARTNERS[number].name, "officeEmail": f"cases@partner-{number}.example", "officePhone": None,
        "publicSite": site, "surveyCadenceMode": 0,
    }  # fmt: skip


def _handoff(context: Context, row: int, return_url: Any) -> dict[str, Any] | None:
    if context.world.cases["lifecycle"][row] != codes.SIGNING:
        return None
    client = int(context.world.cases["client"][row])
    return handoff(context, client, client_errors(context, client), return_url)


def _text(microseconds: int) -> str | None:
    return None if microseconds == NULL_US else from_us(microseconds).isoformat().replace("+00:00", "Z")
