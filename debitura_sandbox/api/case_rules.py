"""Business rules of submitting a case: what a client has to do first, whether a partner takes the case, and at what price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote

from debitura_sandbox.api.case_requests import UNKNOWN, Claim
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import onboarding_url
from debitura_sandbox.api.query import PARTNER_IDS
from debitura_sandbox.world import people
from debitura_sandbox.world.addresses import COUNTRIES, PARTNERS
from debitura_sandbox.world.codes import DAY_US
from debitura_sandbox.world.columns import UNIT

ID_OF_PARTNER = {number: id_ for id_, number in PARTNER_IDS.items()}
PARTNERS_PER_COUNTRY = len(PARTNERS) // len(COUNTRIES)
SIGNING = ("MissingDebtCollectionContract", "MissingPowerOfAttorney")
MESSAGES = {
    "MissingDebtCollectionContract": "The collection agreement has not been signed.",
    "MissingPowerOfAttorney": "The collection partner needs a power of attorney.",
    "MissingKycVerification": "The collection partner needs a KYC verification.",
    "CreditorBlocked": "The creditor is blocked.",
    "NoPartnerAvailable": "There is no collection partner for this case.",
    "ValidationError": "The currency is not supported.",
}


class BusinessError(NamedTuple):
    """One reason why a case cannot be submitted."""

    type: str
    message: str
    solution_url: str | None = None

    def document(self) -> dict[str, Any]:
        """BusinessErrorApiDTO."""
        return {"type": self.type, "message": self.message, "solutionUrl": self.solution_url}


def partner_of(claim: Claim) -> int | None:
    """Number of the collection partner that takes a claim: the one asked for, or the first of the debtor's country."""
    if claim.country == UNKNOWN or claim.currency == UNKNOWN:
        return None
    if claim.partner is None:
        return claim.country * PARTNERS_PER_COUNTRY
    covers = claim.partner != UNKNOWN and PARTNERS[claim.partner].country == claim.country
    return claim.partner if covers else None


def claim_errors(claim: Claim) -> list[BusinessError]:
    """Why nobody collects a claim; empty if somebody does."""
    if claim.country != UNKNOWN and claim.currency == UNKNOWN:
        return [_error("ValidationError")]
    return [] if partner_of(claim) is not None else [_error("NoPartnerAvailable")]


def client_errors(context: Context, client: int) -> list[BusinessError]:
    """What a client has to do before it may submit cases."""
    types = [] if context.world.clients["done"][client] else ["MissingDebtCollectionContract"]
    types += sorted(context.world.submissions.lacking.get(client, ()))
    return [_error(kind, signing_url(context, client, kind)) for kind in types]


def signing_url(context: Context, client: int, kind: str) -> str | None:
    """Where a client does what an error type names; None for what it cannot do itself."""
    if kind == "MissingDebtCollectionContract":
        return onboarding_url(context.world, client)
    step = {"MissingPowerOfAttorney": "poa/sign", "MissingKycVerification": "kyc"}.get(kind)
    return f"{people.SIGNING_HOST}/{step}/{people.link_id(context.world.salts['links'], client)}" if step else None


def handoff(context: Context, client: int, errors: list[BusinessError], return_url: Any) -> dict[str, Any] | None:
    """SigningHandoffDto: one link through all that is to be signed; None if there is nothing. An unfit `return_url` is dropped."""
    if not any(error.solution_url for error in errors):
        return None
    url = f"{people.SIGNING_HOST}/chain/{people.link_id(context.world.salts['links'], client)}"
    is_fit = isinstance(return_url, str) and return_url.startswith(("http://", "https://")) and return_url.isprintable()
    return {"combinedSigningUrl": url + (f"?returnUrl={quote(return_url, safe='')}" if is_fit else "")}


def uplift_points(total: Decimal, over_12: Decimal | None, over_24: Decimal | None) -> Decimal | None:
    """Percentage points that a created case adds for age; None without amounts by age."""
    if over_12 is None or over_24 is None or not total:
        return None
    return (((over_12 - over_24) * 10 + over_24 * 20) / total).quantize(Decimal("0.0001"))


def surcharge_points(claim: Claim, now_us: int) -> Decimal:
    """Percentage points that a preview adds for age. The contract has other steps here than for created cases."""
    _, over_12, over_24 = claim.over
    if over_12 is not None and over_24 is not None and claim.amount:
        return (((over_12 - over_24) * 8 + over_24 * 15) / claim.amount).quantize(Decimal("0.0001"))
    days = (now_us - claim.due_us) // DAY_US if claim.due_us is not None else 0
    return Decimal(15 if days > 730 else 8 if days > 365 else 0)


def in_units(amount: Decimal | None) -> int | None:
    """An amount in 1/10,000 units; None stays None."""
    return None if amount is None else int(amount * UNIT)


def _error(kind: str, url: str | None = None) -> BusinessError:
    return BusinessError(kind, MESSAGES[kind], url)
