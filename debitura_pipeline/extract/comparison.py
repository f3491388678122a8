"""When does a sum that the API states equal ours? One answer for syncs, forecasts, control totals and `reconcile`. Pure.

Our sums are exact, in 1/10,000 USD. The API's are JSON numbers: without trailing zeros, rounded to cents or not, and where
it adds doubles, with an error in the last of 16 or 17 digits (1234.5600000000001).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from debitura_pipeline.api.page import Total
from debitura_pipeline.extract.verified_window import FLOATING

Verdict = Literal["equal", "unproven", "differs"]

ROW_PRECISION = Decimal("0.0001")  # what rows are exact to, hence our sums
CENT = Decimal("0.01")
DOUBLE_DIGITS = (16, 17)  # as many as it takes to write a double that is no short decimal
LARGEST = 30  # powers of ten; beyond it no amount makes sense, and arithmetic on it would be no longer exact


def stated_precision(sums: Iterable[Decimal | None]) -> Decimal:
    """The last digit that the API states: 0.0001 USD where any of these sums shows more than cents, else a cent.

    Give it all sums of one kind that are known: a single one may end in a whole cent by chance. The error of added doubles
    does not count as digits.
    """
    known = (total for total in sums if total is not None and total.adjusted() < LARGEST)
    return ROW_PRECISION if any(_rounded(total) % CENT for total in known) else CENT


def compare(stated: Decimal, ours: Decimal, precision: Decimal, rows: int = 1, roundings: int = 1) -> Verdict:
    """Whether a stated sum of `rows` rows is ours: equal up to half of the last digit that the API states.

    `roundings`: of how many stated sums it was computed; each may be off by half a cent where the API rounds to cents.
    `unproven`: the sum was added up in doubles, and is too large for its last digits to tell.
    """
    if stated.adjusted() >= LARGEST:
        return "differs"
    difference = abs(stated - ours)
    most = precision / 2 * (roundings if precision == CENT else 1)
    if difference <= most:
        return "equal"
    return "unproven" if difference <= most + _noise(stated, rows) else "differs"


def bucket_differs(bucket: str, stated: Total, rows: int, usd: Decimal, precision: Decimal, roundings: int = 1) -> bool:
    """Whether a bucket holds other rows than ours, or its settled sum is another. What the API did not state is not judged."""
    if stated.count is not None and stated.count != rows:
        return True
    if stated.usd is None or bucket in FLOATING:
        return False
    return compare(stated.usd, usd, precision, rows, roundings) == "differs"


def _noise(stated: Decimal, rows: int) -> Decimal:
    """How far adding `rows` doubles can have led astray: half of the last bit at each step; 0 for a number that shows no
    sign of having been a double."""
    if len(stated.normalize().as_tuple().digits) not in DOUBLE_DIGITS:
        return Decimal(0)
    return Decimal(math.ulp(float(stated))) / 2 * max(rows, 1)


def _rounded(stated: Decimal) -> Decimal:
    return round(stated / ROW_PRECISION) * ROW_PRECISION
