"""Read-only documents other than rows: partner, filter options, coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from debitura_sandbox.api.case_preview import partner_preview
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import money
from debitura_sandbox.api.http import Request, Response, answer
from debitura_sandbox.api.query import PARTNER_IDS
from debitura_sandbox.world.addresses import COUNTRIES, PARTNERS
from debitura_sandbox.world.columns import UNIT, share, uuids
from debitura_sandbox.world.payments import PERCENT
from debitura_sandbox.world.world import World

PARTNER_EMAIL = "finance.lead@sandbox-partner.example"
_IDS = {number: id_ for id_, number in PARTNER_IDS.items()}


def route(context: Context, request: Request) -> Response | None:
    """The answer to one of this module's paths; None for any other."""
    path = (request.method, request.path)
    if path == ("GET", "/me"):
        return answer(me(context.world))
    if path == ("GET", "/referral-partner/filter-options"):
        return answer(filter_options(context.world))
    if path == ("GET", "/coverage"):
        return answer(coverage())
    if path == ("POST", "/cases/preview"):
        return partner_preview(context, request)
    return None


def partner_id(world: World) -> str:
    """The partner's own id: a secret, since it opens the dashboard."""
    return str(uuids(np.array([0]), world.options.seed + 909)[0].decode())


def me(world: World) -> dict[str, Any]:
    """ReferralPartnerResponse."""
    return {
        "id": partner_id(world),
        "companyName": "Sandbox Partner ApS",
        "shortName": "Sandbox",
        "contactEmail": PARTNER_EMAIL,
        "externalSystemId": None,
        "referralFeePercentage": money(50 * UNIT),
        "isActive": True,
        "isPublicDemo": False,
        "logoUrl": None,
        "backgroundColorCode": "#0B3D2E",
        "fontColor": "#FFFFFF",
        "fontFamily": "Inter, sans-serif",
        "invoicingTriggerMode": world.mode,
    }


def filter_options(world: World) -> dict[str, Any]:
    """Debtor countries in the case history, and the partners of the pricing zones (not all that cases may have)."""
    seen = [COUNTRIES[number] for number in np.unique(world.cases["country"]).tolist()]
    zoned = [(partner.name, _IDS[number]) for number, partner in enumerate(PARTNERS) if partner.share_pct]
    return {
        "countries": [{"id": country.id, "name": country.name} for country in sorted(seen, key=lambda c: c.name)],
        "carveoutPartners": [{"id": id_, "name": name} for name, id_ in sorted(zoned)],
    }


def coverage() -> list[dict[str, Any]]:
    """CoverageItemApiDTO of every country."""
    return [
        {
            "jurisdictionId": 100 + country.id,
            "jurisdiction": country.name,
            "country": country.name,
            "countryId": country.id,
            "countryAlpha2": country.alpha2,
            "usStateAlpha2": None,
            "partners": [
                {"partnerId": _IDS[number], "partnerName": partner.name, "conditions": "All cases"}
                for number, partner in enumerate(PARTNERS)
                if COUNTRIES[partner.country] is country
            ],
        }
        for country in COUNTRIES
    ]


def potential_revenue(world: World, row: int) -> dict[str, Any] | None:
    """CasePotentialRevenue of a case; null while no partner is assigned (the contract leaves this open)."""
    number = int(world.cases["partner"][row])
    if number < 0:
        return None
    partner, rate = PARTNERS[number], world.cases["rate"][row]
    gross = world.fx.usd(world.cases["gross"][row : row + 1], world.cases["currency"][row : row + 1], world.day)
    fees = share(gross, partner.fee_pct * UNIT, PERCENT)
    platform = share(fees, partner.share_pct * UNIT, PERCENT)
    return {
        "grossAmountUsd": money(gross[0]),
        "successFeePercentage": partner.fee_pct,
        "collectionPartnerRevenueUsd": money(fees[0]),
        "platformRevenueSharePercentage": partner.share_pct,
        "platformRevenueUsd": money(platform[0]),
        "referralFeePercentage": money(rate),
        "referralRevenueUsd": money(share(platform, rate, PERCENT)[0]),
    }
