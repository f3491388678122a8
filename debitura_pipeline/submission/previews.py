"""Previews: whether the API would accept a claim, what it would cost, and what is missing. A preview creates nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.label_words import is_label
from debitura_pipeline.errors import RefusedError, ShapeError
from debitura_pipeline.registration.listed import lower
from debitura_pipeline.source import Claim
from debitura_pipeline.submission.body import preview_body
from debitura_pipeline.submission.lookups import finite_number, text_or_none
from debitura_pipeline.submission.states import CLIENT_TYPES, INELIGIBLE, INVALID, PLANNED, WAITING, normalised

NO_PARTNER, NO_KYC = "NoPartnerAvailable", "MissingKycVerification"
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
MAX_PCT = Decimal(100)
# What a code says, in lower case, that is no fault of the row.
_NOT_SERVED = re.compile(
    r"(country|currency|jurisdiction).*not(supported|served|available)|(unsupported|unserved).*(country|currency)"
)


@dataclass(frozen=True, slots=True)
class Preview:
    """What the API said. `state`: what the claim is then. `types`: error codes and names of fields, never sentences."""

    state: str
    types: tuple[str, ...] = ()
    is_eligible: bool | None = None
    success_fee_pct: Decimal | None = None


async def ask_preview(client: ApiClient, claim: Claim) -> Preview:
    """Ask the Customer API. Raises RefusedError for 401 and 403, ShapeError for a refusal that is no documented error, ApiError."""
    try:
        document = await client.document(
            "POST", "/cases/preview", body=_as_mapping(preview_body(claim)), what="Previewing a claim"
        )
    except RefusedError as error:
        if error.status not in (400, 422):
            raise
        if not error.facts.get("is_documented"):
            raise ShapeError(
                f"Previewing a claim failed: HTTP {error.status}, which may be an intermediary's: it is no documented error."
            ) from None
        return refused_preview(error.facts.get("codes", ()), error.facts.get("fields", ()))
    return read_preview(document)


def read_preview(document: Any) -> Preview:
    """Read `PreviewCaseResponseApiViewModel`. Raises ShapeError if it says nothing about eligibility."""
    result = lower(lower(document).get("result"))
    is_eligible = result.get("iseligible")
    if not isinstance(is_eligible, bool):
        raise ShapeError("Previewing a claim failed: the response does not say whether the claim is eligible.")
    actions = [lower(action) for action in result.get("requiredactions") or () if isinstance(action, dict)]
    types = [_code(action.get("type")) for action in actions if action.get("isblocking") is not False]
    if result.get("requireskycverification") is True and result.get("haskyconfile") is False:
        types.append(NO_KYC)
    fee = _percentage(lower(result.get("pricingpreview")).get("totalsuccessfeepercentage"))
    if not is_eligible and "creditorblocked" not in map(normalised, types):
        reason = _code(result.get("ineligibilityreason"), NO_PARTNER)
        return Preview(INELIGIBLE, tuple(dict.fromkeys([reason, *types])), is_eligible, fee)
    return Preview(WAITING if types else PLANNED, tuple(dict.fromkeys(types)), is_eligible, fee)


def refused_preview(codes: Iterable[str], fields: Iterable[str]) -> Preview:
    """A preview that was refused: fields that are wrong, or a business rule."""
    types, names = tuple(codes), tuple(fields)
    known = {normalised(one) for one in types}
    if known & CLIENT_TYPES:
        return Preview(WAITING, types)
    if normalised(NO_PARTNER) in known or (not names and any(_NOT_SERVED.search(one) for one in known)):
        return Preview(INELIGIBLE, types, False)
    return Preview(INVALID, (*names, *(() if names else types)) or ("ValidationError",))


def _as_mapping(body: bytes) -> dict[str, Any]:
    """The body's fields as they are encoded, so that `ApiClient.document` sends the same digits."""
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


def _code(value: Any, otherwise: str = "ActionRequired") -> str:
    code = text_or_none(value)
    return code if code and _CODE.fullmatch(code) and is_label(code) else otherwise


def _percentage(value: Any) -> Decimal | None:
    found = finite_number(value)
    return found.quantize(Decimal("0.0001")) if found is not None and 0 <= found <= MAX_PCT else None
