"""Decide whether a sum stated by the API equals ours; used by syncs, estimates, control totals and `reconcile`. Pure.

Our sums are exact, in 1/10,000 USD. The API's are JSON numbers: without trailing zeros, possibly rounded to cents, and, if
added up as doubles, with an error in the last of 16 or 17 digits (1234.5600000000001).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.extract.window_record import FLOATING

Verdict = Literal["equal", "unproven", "differs"]

ROW_PRECISION = Decimal("0.0001")  # precision of rows, and therefore of our sums
CENT = Decimal("0.01")
DOUBLE_DIGITS = (16, 17)  # digits of a double that is not a short decimal
LARGEST = 30  # power of ten beyond which no amount is plausible and decimal arithmetic is no longer exact


def stated_precision(sums: Iterable[Decimal | None]) -> Decimal:
    """Return the precision of the API's sums: 0.0001 USD if any of these sums has more than two decimals, else 0.01.

    Pass all known sums of one kind, since a single one may end in a whole cent by chance. Errors of doubles are ignored.
    """
    known = (total for total in sums if total is not None and total.adjusted() < LARGEST)
    return ROW_PRECISION if any(_rounded(total) % CENT for total in known) else CENT


def compare(stated: Decimal, ours: Decimal, precision: Decimal, rows: int = 1, roundings: int = 1) -> Verdict:
    """Compare a stated sum of `rows` rows with ours, to half a unit of `precision`.

    `roundings`: number of stated sums it was computed from; each may be off by half a cent if the API rounds to cents.
    Returns `unproven` if the API added up doubles and the sum is too large for its last digits to be significant.
    """
    if stated.adjusted() >= LARGEST:
        return "differs"
    difference = abs(stated - ours)
    most = precision / 2 * (roundings if precision == CENT else 1)
    if difference <= most:
        return "equal"
    return "unproven" if difference <= most + _double_error(stated, rows) else "differs"


def bucket_differs(bucket: str, stated: Total, rows: int, usd: Decimal, precision: Decimal, roundings: int = 1) -> bool:
    """Whether a bucket's count or settled sum differs from ours. What the API does not state is not compared."""
    if stated.count is not None and stated.count != rows:
        return True
    if stated.usd is None or bucket in FLOATING:
        return False
    return compare(stated.usd, usd, precision, rows, roundings) == "differs"


def _double_error(stated: Decimal, rows: int) -> Decimal:
    """Largest error of adding `rows` doubles, half of the last bit at each step; 0 if the sum does not look like a double."""
    if len(stated.normalize().as_tuple().digits) not in DOUBLE_DIGITS:
        return Decimal(0)
    return Decimal(math.ulp(float(stated))) / 2 * max(rows, 1)


def _rounded(stated: Decimal) -> Decimal:
    return round(stated / ROW_PRECISION) * ROW_PRECISION
