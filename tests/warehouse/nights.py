"""Some nights of a small partner with every kind of change, for the tests that compare whole states."""

from __future__ import annotations

from decimal import Decimal

from debitura_pipeline.landing.findings import BadRow, Drift
from debitura_pipeline.warehouse.base import DeletionScope, LandedSync, WindowRecord
from tests.warehouse.landings import Landings, case, night, transaction


def many_nights(landings: Landings, rows: int = 30) -> list[LandedSync]:
    """Six nights of cases and transactions: new, changed, deleted, returned, floating, bad, and one client's reading."""
    found = []
    for number in range(6):
        at = night(number)
        cases = [
            case(f"c{key}", lifecycle="Closed" if key < number else "Active", external_tenant_id=f"tenant-{key % 3}")
            for key in range(rows + number)
            if (key + number) % 11
        ]
        bad = [BadRow("c" * 64, "c5", "remainder is not a number", "{}")] if number in (1, 2, 4) else []
        drift = [Drift("value", "lifecycle", f"new {number}")]
        window = WindowRecord(None, None, "all", len(cases), len(cases), 1, at, "00001.parquet", "0" * 64)
        partner = ("Monthly", Decimal(10 + number // 3))
        half = len(cases) // 2
        parts = (cases[:half], cases[half - 2 :])
        found.append(landings.land("cases", *parts, at=at, bad=bad, drift=drift, windows=[window], partner=partner))
        payments = [
            transaction(f"t{key}", is_estimate=key % 2 == 0, referral_fee_usd=Decimal(key) + Decimal(number) / 10)
            for key in range(rows)
            if key != number
        ]
        found.append(landings.land("transactions", payments, at=at))
        if number == 3:
            own = [row for row in cases if row["external_tenant_id"] == "tenant-1"]
            deletion_scope = DeletionScope("client", ("tenant-1",))
            found.append(
                landings.land("cases", own[1:], at=at.replace(hour=5), deletion_scope=deletion_scope, mode="client")
            )
    return found
