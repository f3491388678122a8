"""Read the partner's terms and id from `GET /me`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.landing.labels import safe_label

MAX_PERCENT = 1_000_000  # a larger number is not a percentage and would not fit the column


class PartnerTerms(NamedTuple):
    """When the partner may invoice its share (`invoicingTriggerMode`), and the share in percent."""

    invoicing_mode: str | None
    fee_pct: Decimal | None

    def as_text(self) -> tuple[str | None, str | None]:
        """The terms as stored in a journal."""
        return self.invoicing_mode, None if self.fee_pct is None else str(self.fee_pct)


async def read_terms(client: ApiClient) -> PartnerTerms:
    """The partner's terms. Raises ApiError."""
    return (await read_me(client))[0]


async def read_me(client: ApiClient) -> tuple[PartnerTerms, str | None]:
    """The partner's terms and its id, which is stored as a hash only. The rest of `GET /me` is discarded. Raises ApiError."""
    document = await client.document("GET", "/me", what="Reading the partner's own record")
    fields = {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}
    mode, pct, own_id = (fields.get(name) for name in ("invoicingtriggermode", "referralfeepercentage", "id"))
    terms = PartnerTerms(safe_label(mode) if isinstance(mode, str) else None, _percentage(pct))
    return terms, str(own_id) if isinstance(own_id, str | int) and own_id != "" else None


def _percentage(value: Any) -> Decimal | None:
    """The value as an exact percentage; None if it cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if number.is_finite() and number.copy_abs() <= MAX_PERCENT else None
