"""Render single rows as documents: clients, single cases, short pages, and the true values of any row.

Written row by row and independent of `bulk_json.py`, so that tests can check one against the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from debitura_sandbox.world import codes, people
from debitura_sandbox.world.addresses import COUNTRIES, CURRENCIES, PARTNERS
from debitura_sandbox.world.codes import NULL_US
from debitura_sandbox.world.columns import UNIT, Array, from_us
from debitura_sandbox.world.world import World

ENCODER = msgspec.json.Encoder(decimal_format="number")
LINKS_APART = 10_000_000  # between the numbers of one client's links
REFERENCE_STYLES = ("INV-{:07}", "Rechnung {:06}", "FV/{:06}/25", "№ {:05}")
ASKED: tuple[list[dict[str, str | None]], ...] = (
    [
        {
            "resolutionArea": "ProvideDocuments",
            "description": "Please send the delivery note that Herr Krausenbaum signed.",
        }
    ],
    [
        {
            "resolutionArea": "CorrectDebtorAddress",
            "description": "Post to Kastanienallee 77b came back; is there another address?",
        }
    ],
    [
        {
            "resolutionArea": "ProvideDocuments",
            "description": "The contract with Fru Lindegaardsholm is missing its annex.",
        },
        {"resolutionArea": "ConfirmClaim", "description": None},
    ],
)


def money(value: int) -> Decimal:
    """An amount of 1/10,000 units as an exact decimal."""
    return Decimal(int(value)) / UNIT


def code_text(words: tuple[str, ...], code: int) -> str | None:
    """The word for a code; None for "no code"."""
    return words[code] if code >= 0 else None


def zone_mark(row: int) -> str:
    """How this row's instants express UTC: mostly as Z, sometimes as an offset, sometimes not at all."""
    return "+00:00" if row % 13 == 5 else "" if row % 11 == 7 else "Z"


def instant(microseconds: int, row: int) -> str | None:
    """An instant as the API writes it: no trailing zeros in the fraction."""
    if microseconds == NULL_US:
        return None
    text = from_us(microseconds).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{int(microseconds) % 1_000_000:06}".rstrip("0")
    return text + (f".{fraction}" if fraction else "") + zone_mark(row)


def creditor_reference(world: World, row: int) -> str | None:
    """The client's own reference of a case: as submitted, or in the client's own style."""
    submitted = world.submissions.cases.get(row)
    if submitted is not None:
        return submitted.reference
    if not world.cases["has_reference"][row]:
        return None
    number = world.clients["number"][world.cases["client"][row]]
    return REFERENCE_STYLES[int(number) % len(REFERENCE_STYLES)].format(row)


def name_of_debtor(world: World, row: int) -> str | None:
    """The debtor's name of a case: as submitted, or an invented one."""
    submitted = world.submissions.cases.get(row)
    made = people.debtor_name(int(world.cases["head"][row]), int(world.cases["tail"][row]))
    return (submitted.debtor_name if submitted else None) or made


def office_email(world: World, row: int) -> str:
    """A client's company e-mail address."""
    return str(
        world.registered.get(row, {}).get("email") or f"kontor@{people.mail_domain(int(world.clients['number'][row]))}"
    )


def registration(world: World, row: int) -> str | None:
    """A client's registration number; some have none."""
    number, place = int(world.clients["number"][row]), COUNTRIES[int(world.clients["country"][row])]
    made = f"{place.alpha2}{10_000_000 + number * 7919}" if number % 8 else None
    return world.registered.get(row, {}).get("registration") or made


def onboarding_url(world: World, row: int) -> str | None:
    """The client's signing link; None if everything is signed."""
    if world.clients["done"][row]:
        return None
    step = "ContractUpgrade/Sign" if world.clients["is_upgrade"][row] else "companydetails"
    return f"{people.SIGNING_HOST}/{step}/{signing_link(world, row)}"


def signing_link(world: World, row: int) -> str:
    """Id of the client's current signing link."""
    number, _ = world.signing_links.get(row, (0, 0))
    return people.link_id(world.salts["links"], row + number * LINKS_APART)


def client_document(world: World, row: int, stats: tuple[Any, Any, Any]) -> dict[str, Any]:
    """One client, as ClientCreatedResponse."""
    table = world.clients
    kyc = people.director(int(table["number"][row]), int(table["country"][row]))
    return {
        "externalTenantId": table["tenant"][row],
        "onboardingDone": bool(table["done"][row]),
        "onboardingLinks": {"url": onboarding_url(world, row)},
        "client": company_document(world, row),
        "users": [{"id": u.id, "email": u.email, "firstName": u.first, "lastName": u.last} for u in world.users(row)],
        "isAttributedClient": bool(table["is_attributed"][row]),
        "dateLinked": instant(table["linked"][row], row),
        "caseStats": {
            "casesTotal": int(stats[0][row]), "casesClosed": int(stats[1][row]), "earningsUsd": money(stats[2][row]),
        },
        "kycStatus": codes.KYC_STATES[table["kyc"][row]],
        "kycVerification": None if table["kyc_review"][row] < 0 else {
            "directorFullName": kyc.name,
            "directorHomeAddress": kyc.address,
            "directorDateOfBirth": kyc.born,
            "dateCreated": instant(table["linked"][row], row),
            "verificationStatus": codes.KYC_REVIEWS[table["kyc_review"][row]],
            "verificationStatusUpdatedAt": None,
        },
        "caseResults": None,
    }  # fmt: skip


def company_document(world: World, row: int) -> dict[str, Any]:
    """The company of a client, as ClientCreditorDto."""
    registered = world.registered.get(row, {})
    number, place = int(world.clients["number"][row]), COUNTRIES[int(world.clients["country"][row])]
    return {
        "id": world.all_ids("clients")[row],
        "companyName": world.company_name(row),
        "officeEmail": office_email(world, row),
        "country": registered.get("country") or place.name,
        "address": registered.get("address") or people.street_address(number),
        "city": registered.get("city") or place.towns[int(world.clients["town"][row])],
        "zipCode": registered.get("zip") or f"{1000 + number * 37 % 9000}",
        "companyRegistrationNumber": registration(world, row),
    }


def contacts(world: World, row: int) -> dict[str, Any]:
    """The contacts of a client, as its cases carry them."""
    first, *others = world.users(row)
    return {
        "onboardingUser": {"email": first.email, "name": first.name},
        "officeEmail": office_email(world, row),
        "otherUsers": [{"email": user.email, "name": user.name} for user in others],
    }


def client_brief(world: World, row: int) -> dict[str, Any]:
    """The client as embedded in cases and transactions."""
    return {
        "externalTenantId": world.clients["tenant"][row],
        "creditorId": world.all_ids("clients")[row],
        "companyName": world.company_name(row),
    }


def case_document(world: World, row: int) -> dict[str, Any]:
    """One case, as CaseItem."""
    table = {name: world.cases[name][row] for name in ("client", "country", "currency", "lifecycle", "partner")}
    cases, client = world.cases, int(table["client"])
    partner, rate = int(table["partner"]), int(cases["rate"][row])
    return {
        "id": world.all_ids("cases")[row],
        "reference": world.all_references()[row],
        "creditorReference": creditor_reference(world, row),
        "client": client_brief(world, client) | {"contacts": contacts(world, client)},
        "debtor": {
            "name": name_of_debtor(world, row),
            "country": COUNTRIES[table["country"]].name,
        },
        "grossAmount": money(cases["gross"][row]),
        "remainder": money(cases["remainder"][row]),
        "currency": CURRENCIES[table["currency"]],
        "lifecycle": codes.LIFECYCLES[table["lifecycle"]].label,
        "closeCode": code_text(codes.CLOSE_CODES, cases["close_code"][row]),
        "currentEngagementPhase": code_text(codes.PHASES, cases["phase"][row]),
        "dateCreated": instant(cases["created"][row], row),
        "dueDate": from_us(cases["due"][row]).strftime("%Y-%m-%dT%H:%M:%S"),
        "dateCollectionStarted": instant(cases["started"][row], row),
        "dateFinished": instant(cases["finished"][row], row),
        "validation": {
            "needsInfo": bool(cases["needs_info"][row]),
            "creditorRespondedAt": instant(cases["responded"][row], row),
            "items": ASKED[row % len(ASKED)] if cases["needs_info"][row] else [],
        },
        "collectionPartner": PARTNERS[partner].name if partner >= 0 else None,
        "expectedReferralRatePercentage": None if rate == NULL_US else money(rate),
    }


def transaction_document(world: World, row: int, fee_usd: Decimal, revenue_usd: Decimal) -> dict[str, Any]:
    """One transaction, as TransactionItem."""
    table = world.transactions
    case = int(table["case"][row])
    is_recognized = bool(table["platform"][row] == codes.RECEIVED)
    currency = CURRENCIES[table["currency"][row]]
    return {
        "transactionId": world.all_ids("transactions")[row],
        "date": instant(table["date"][row], row),
        "client": client_brief(world, int(world.cases["client"][case])),
        "case": {
            "invoiceId": world.all_ids("cases")[case],
            "caseReference": world.all_references()[case],
            "debtorName": name_of_debtor(world, case),
            "originalAmount": money(world.cases["gross"][case]),
            "currency": CURRENCIES[world.cases["currency"][case]],
        },
        "payment": {
            "amount": money(table["amount"][row]),
            "currency": currency,
            "paymentDate": instant(table["paid"][row], row),
        },
        "earnings": {
            "currency": currency,
            "debituraRevenue": money(table["revenue"][row]),
            "debituraRevenueUsd": revenue_usd,
            "referralFeePercentage": money(table["rate"][row]),
            "referralFeeAmount": money(table["fee"][row]),
            "referralFeeAmountUsd": fee_usd,
            "isEstimate": bool(table["commission"][row] != codes.PAID),
        },
        "recognition": {
            "isRecognized": is_recognized,
            "referralFeeRecognizedUsd": fee_usd if is_recognized else Decimal(0),
        },
        "status": {
            "commissionPaymentStatus": codes.COMMISSION[table["commission"][row]],
            "platformInvoicingStatus": codes.PLATFORM[table["platform"][row]],
            "referralInvoicingStatus": code_text(codes.REFERRAL, table["referral"][row]),
        },
    }


def truth(world: World, resource: str) -> Iterator[dict[str, Any]]:
    """All live rows of `resource`, directly from the columns, in unspecified order."""
    return documents(world, resource, np.flatnonzero(world.live(resource)))


def documents(world: World, resource: str, rows: Array) -> Iterator[dict[str, Any]]:
    """These rows of `resource`, in this order."""
    if resource == "clients":
        stats = world.client_stats()
        yield from (client_document(world, row, stats) for row in rows.tolist())
    elif resource == "cases":
        yield from (case_document(world, row) for row in rows.tolist())
    else:
        fees, revenues = world.usd(rows, "fee").tolist(), world.usd(rows, "revenue").tolist()
        for row, fee, revenue in zip(rows.tolist(), fees, revenues, strict=True):
            yield transaction_document(world, row, money(fee), money(revenue))
