"""Previews of a case: would somebody collect it, at what price, and what is missing. They create nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from debitura_sandbox.api.case_requests import Claim, FieldErrors, read_preview
from debitura_sandbox.api.case_rules import (
    ID_OF_PARTNER,
    claim_errors,
    client_errors,
    handoff,
    partner_of,
    surcharge_points,
)
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.http import Request, Response, answer, field_failure
from debitura_sandbox.world.addresses import COUNTRIES, PARTNERS
from debitura_sandbox.world.us_states import STATES


def preview(context: Context, client: int, request: Request) -> Response:
    """Answer `POST /cases/preview` of the Customer API."""
    body = request.exact_document()
    try:
        claim = read_preview(body, context.latest_us())
    except FieldErrors as broken:
        return field_failure(broken.errors, context.undocumented.field_errors)
    reasons, lacking = claim_errors(claim), client_errors(context, client)
    needs_kyc = "MissingKycVerification" in context.world.submissions.lacking.get(client, ())
    result = {
        "isEligible": not reasons,
        "ineligibilityReason": reasons[0].message if reasons else None,
        "partnerAssignment": _assignment(claim),
        "requiredActions": [error.document() | {"isBlocking": True} for error in lacking],
        "jurisdiction": jurisdiction(claim),
        "pricingPreview": pricing(claim, context.clock.now_us()),
        "requiresKycVerification": needs_kyc,
        "hasKycOnFile": not needs_kyc and bool(context.world.clients["kyc"][client] > 0),
        "signingHandoff": handoff(context, client, lacking, body.get("returnUrl")),
    }
    return answer({"result": result})


def partner_preview(context: Context, request: Request) -> Response:
    """Answer `POST /cases/preview` of the Referral API, which knows no client."""
    try:
        claim = read_preview(request.exact_document(), context.latest_us())
    except FieldErrors as broken:
        return field_failure(broken.errors, context.undocumented.field_errors)
    reasons = claim_errors(claim)
    return answer(
        {
            "isEligible": not reasons,
            "ineligibilityReason": reasons[0].message if reasons else None,
            "jurisdiction": jurisdiction(claim),
            "pricingPreview": pricing(claim, context.clock.now_us()),
            "requiresKycVerification": False,
            "pendingActions": [],
            "combinedSigningUrl": None,
        }
    )


def _assignment(claim: Claim) -> dict[str, Any] | None:
    number = partner_of(claim)
    if number is None:
        return None
    partner = PARTNERS[number]
    return {
        "collectionPartnerId": ID_OF_PARTNER[number], "partnerName": partner.name,
        "partnerCountry": COUNTRIES[partner.country].alpha2,
    }  # fmt: skip


def jurisdiction(claim: Claim) -> dict[str, Any] | None:
    """JurisdictionDto of a covered country."""
    if claim.country < 0:
        return None
    country = COUNTRIES[claim.country]
    name = f"{country.name} - {STATES[claim.state]}" if claim.state else country.name
    return {"id": 100 + country.id, "name": name, "countryAlpha2": country.alpha2, "stateAlpha2": claim.state}


def pricing(claim: Claim, now_us: int) -> dict[str, Any] | None:
    """PricingPreviewDto; None if nobody collects the claim."""
    number = partner_of(claim)
    if number is None:
        return None
    base, surcharge = Decimal(PARTNERS[number].fee_pct), surcharge_points(claim, now_us)
    return {
        "baseSuccessFeePercentage": base, "ageSurchargePercentage": surcharge, "totalSuccessFeePercentage": base + surcharge,
        "currencyCode": claim.currency_code, "pricingSource": "Standard agreement", "pricingSourceDescription": None,
    }  # fmt: skip
