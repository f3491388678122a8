"""Look up a claim's case by its reference: in the Customer API, in the Referral API's listing, and in the warehouse."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.encoding import parse_lenient
from debitura_pipeline.api.page_parts import split_page
from debitura_pipeline.contract.listings import CASES, PAGE_SIZE, Query, path_to
from debitura_pipeline.errors import ApiError, RefusedError, ShapeError
from debitura_pipeline.landing.validators import is_id
from debitura_pipeline.registration.listed import lower
from debitura_pipeline.source.places import country_code
from debitura_pipeline.submission.decision import FoundCase

MAX_PAGES = 20  # of cases that are listed to find a claim's
HALF_A_CENT = Decimal("0.005")  # the API's numbers are doubles, and it may round to cents, half a cent too
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/#:-]{0,63}")  # no text of people's: it is stored
_OF_ERRORS = frozenset({"type", "title", "detail", "message", "error", "errors", "traceid"})
OTHER_REFERENCE = "creditor_reference"  # of a case: another spelling of it
PERSON_WORDS = frozenset({"person", "private"})


class TooManyCases(ApiError):
    """The listing shows more cases than can be read to find a claim's."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a claim's case has to agree with. `reference`: as in the source; the others are None where unknown."""

    reference: str
    amount: Decimal | None = None
    currency: str | None = None
    debtor_type: str | None = None
    country: str | None = None


async def by_reference(client: ApiClient, expected: Expected) -> tuple[list[FoundCase], bool]:
    """Ask the Customer API with the client's token. False: it is not sure that there is no case, since the 404 has no documented
    body and may be a gateway's. Raises ApiError."""
    if set(expected.reference) == {"."} and len(expected.reference) < 3:
        raise ApiError("A reference of dots alone cannot be looked up, so it is not sent.")
    path, what = path_to("cases", "by-creditor-reference", expected.reference), "Looking up a claim by its reference"
    try:
        body = await client.body(path, what=what, is_strict=True)
    except RefusedError as error:
        if error.status == 404 and error.facts.get("is_of_api"):
            return [], False
        raise
    return [] if body is None else [found_case(parse_lenient(body), expected)], True


async def by_id(client: ApiClient, case_id: str) -> dict[str, Any] | None:
    """Ask the partner's API for a case: its fields in lower case, None if there is none. Raises ApiError, also if a 404 may be a
    gateway's; ShapeError if the answer is another case or none."""
    body = await client.body(path_to("cases", case_id), what="Looking up a case by its id", is_strict=True)
    if body is None:
        return None
    fields = lower(parse_lenient(body))
    if (text_or_none(fields.get("id")) or "").lower() != case_id:
        raise ShapeError("Looking up a case by its id failed: the response is not that case.")
    return fields


def owner_of(fields: Mapping[str, Any]) -> str | None:
    """The creditor id of a listed case, in lower case."""
    owner = text_or_none(lower(fields.get("client")).get("creditorid"))
    return owner.lower() if owner else None


async def in_listing(
    client: ApiClient,
    tenant: str | None,
    creditor_id: str,
    expected: Expected,
    since: datetime | None,
    others: Set[str] = frozenset(),
) -> list[FoundCase]:
    """Ask the partner's own listing. `tenant`: None for a client that its tenant id no longer stands for. `since`: by the API's
    clock. `others`: references of other claims, which no spelling of this one is. Raises ApiError, TooManyCases if there are
    too many pages to read."""
    documents = await read_listing(client, tenant, since, expected.reference)
    if documents is None:
        raise TooManyCases(f"Looking up a claim failed: more than {MAX_PAGES * PAGE_SIZE} cases match its reference.")
    return those_of_claim(documents, creditor_id, expected, others, is_of_tenant=tenant is not None)


async def read_listing(
    client: ApiClient,
    tenant: str | None,
    since: datetime | None,
    text: str | None = None,
    *,
    max_pages: int | None = None,
) -> list[dict[str, Any]] | None:
    """Cases of a tenant id (None: of all) created since then whose reference, number or debtor contains `text`, with their
    fields in lower case. None if there are more than `max_pages` or MAX_PAGES pages. Raises ApiError."""
    max_pages = MAX_PAGES if max_pages is None else min(max_pages, MAX_PAGES)
    filters = [("ExternalTenantId", tenant)] if tenant is not None else []
    filters += [("Query", text)] if text is not None else []
    query, shown = Query(CASES, since, None, tuple(filters)), 0
    found: list[dict[str, Any]] = []
    for number in range(1, max_pages + 1):
        page = await client.page(query, number)
        found += [lower(parse_lenient(bytes(row))) for row in split_page(page.body, CASES).rows or ()]
        on_page, total = page.metadata.response_count, page.metadata.total_results
        shown += on_page
        if shown >= total or not on_page:
            return found
        if total > max_pages * on_page:  # the API may serve smaller pages than were asked for
            break
    return None


def those_of_claim(
    documents: Iterable[Mapping[str, Any]],
    creditor_id: str,
    expected: Expected,
    others: Set[str],
    *,
    is_of_tenant: bool,
) -> list[FoundCase]:
    """Of listed cases, those of this client under the claim's reference or another spelling of it. `is_of_tenant`: the listing
    was asked for the client's tenant id, so a case without a client is this one's. Raises ShapeError."""
    return [
        found_case(document, expected)
        for document in documents
        if _is_claims(document, creditor_id, expected.reference, others, is_of_tenant=is_of_tenant)
    ]


def found_case(document: Any, expected: Expected) -> FoundCase:
    """A case as either API shows it (`InvoiceDto`, `CaseItem`). Raises ShapeError if it has no id, or says that something went
    wrong instead of whose case it is."""
    fields = lower(document)
    case_id, reference = fields.get("id"), fields.get("reference")
    if not isinstance(case_id, str) or not is_id(case_id):
        raise ShapeError("Looking up a claim failed: the case that was found has no id.")
    if not names_reference(fields) and _OF_ERRORS & fields.keys():
        raise ShapeError("Looking up a claim failed: the response is not that of a case.")
    is_plain = isinstance(reference, str) and _REFERENCE.fullmatch(reference)
    return FoundCase(case_id.lower(), reference if is_plain else None, tuple(_differences(fields, expected)))


def names_reference(document: Any) -> bool:
    """Whether a case shows under which reference it was submitted."""
    return text_or_none(lower(document).get("creditorreference")) is not None


def stored_case(row: tuple[Any, ...], expected: Expected) -> FoundCase:
    """A row of `raw.cases`: creditor_reference, case_id, reference, gross_amount, currency, debtor_country.

    `expected` has the reference as the warehouse stores it.
    """
    names = ("creditorreference", "id", "reference", "grossamount", "currency", "country")
    fields = dict(zip(names, row, strict=True))
    fields["debtor"] = {"country": fields.pop("country")}
    return FoundCase(fields["id"], fields["reference"], tuple(_differences(fields, expected)))


def _differences(fields: Mapping[str, Any], expected: Expected) -> Iterable[str]:
    """Names of what is shown and differs. What is not shown is not compared."""
    debtor = lower(fields.get("debtor"))
    reference, shown = text_or_none(fields.get("creditorreference")), text_or_none(fields.get("currency"))
    if reference is not None and reference != expected.reference:
        yield OTHER_REFERENCE
    amount = finite_number(fields.get("grossamount"))
    if amount is not None and expected.amount is not None and abs(amount - expected.amount) > HALF_A_CENT:
        yield "amount"
    if shown and expected.currency and shown.upper() != expected.currency:
        yield "currency"
    kind = text_or_none(debtor.get("type"))
    if kind and expected.debtor_type and (kind.lower() in PERSON_WORDS) != (expected.debtor_type in PERSON_WORDS):
        yield "debtor_type"
    country = country_code(text_or_none(debtor.get("countryalpha2")) or text_or_none(debtor.get("country")) or "")
    if country and expected.country and country != expected.country:
        yield "debtor_country"


def _is_claims(
    fields: Mapping[str, Any], creditor_id: str, reference: str, others: Set[str], *, is_of_tenant: bool
) -> bool:
    """Whether a listed case is of this client, under this reference. A client without id counts as this one if the listing was
    asked for its tenant."""
    listed = text_or_none(fields.get("creditorreference"))
    return (
        listed is not None
        and listed not in others
        and fold_spelling(listed) == fold_spelling(reference)  # it is not known whether the API keeps the spelling
        and (owner_of(fields) or (creditor_id if is_of_tenant else "")) == creditor_id
    )


def fold_spelling(reference: str) -> str:
    """A reference whatever its letter case and the encoding of its accents; i is i, with and without a dot."""
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", reference).casefold())
    return unicodedata.normalize("NFC", folded.replace("i\u0307", "i").replace("\u0131", "i"))


def spellings(reference: str) -> set[str]:
    """The most usual spellings of a reference, for one that is stored as a pseudonym, which cannot be folded."""
    cases = (reference, reference.lower(), reference.upper(), reference.title(), reference.casefold())
    return {unicodedata.normalize(form, each) for each in cases for form in ("NFC", "NFD")} | {reference}


def text_or_none(value: Any) -> str | None:
    """A string, else None."""
    return value if isinstance(value, str) else None


def finite_number(value: Any) -> Decimal | None:
    """A finite number as Decimal, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
