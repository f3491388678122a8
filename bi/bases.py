"""By which date fees are counted: collected, recognized, invoiced or paid."""

from __future__ import annotations

from dataclasses import dataclass

from bi.fees import in_stages
from bi.filters import Condition
from debitura_pipeline.contract.stage_groups import EXPECTED


@dataclass(frozen=True)
class Basis:
    """`condition`: the transactions that are in its state now; `day`: when they came to it; `usd`: their amount."""

    label: str
    condition: str
    day: str
    usd: str = "referral_fee_usd"

    @property
    def month(self) -> str:
        """First day of the month of `day`."""
        return f"CAST(date_trunc('month', {self.day}) AS date)"

    def where(self, where: Condition) -> Condition:
        """The condition, and that of this basis; only expected and earned fees."""
        return in_stages(where.also(self.condition), EXPECTED)


# A session's time zone is UTC, and so are the days.
BASES = {
    "collected": Basis("Collected", "TRUE", "occurred_on"),
    "recognized": Basis(
        "Recognized", "is_recognized", "CAST(recognized_seen_at AS date)", "referral_fee_recognized_usd"
    ),
    "invoiced": Basis(
        "Invoiced",
        "lower(referral_invoicing_status) IN ('invoiced', 'paid', 'disputed')",
        "CAST(invoiced_seen_at AS date)",
    ),
    "paid": Basis("Paid", "lower(referral_invoicing_status) = 'paid'", "CAST(paid_seen_at AS date)"),
}
