"""Find clients whose expected transactions contradict the earnings that their own records state. Pure.

A transaction can move to another client while no total of the whole listing changes. What the API counts as earnings is not
documented, so the meaning is taken that fits most clients; if too many differ from each, the figures show nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from debitura_pipeline.extract.comparison import compare, stated_precision
from debitura_pipeline.incremental.expected_state import FEE_SUMS, FeeSums

FEW = 5  # clients that may always be checked, one request each
MAX_SHARE = 0.1  # of the clients: if more differ, the figures mean something else, or moved with exchange rates
NO_FEES: FeeSums = (Decimal(0),) * len(FEE_SUMS)


def disagreeing(stated: Mapping[str, Decimal], ours: Mapping[str, FeeSums]) -> list[str]:
    """Return the clients whose stated earnings are not those of their expected transactions, sorted.

    `stated`: earnings in USD by creditor. `ours`: the sums of `FEE_SUMS` by creditor, none if it has no transactions.
    """
    precision = stated_precision(stated.values())
    found: list[str] = []
    for meaning in range(len(FEE_SUMS)):
        fees = {creditor: ours.get(creditor, NO_FEES)[meaning] for creditor in stated}
        differing = [who for who in sorted(stated) if compare(stated[who], fees[who], precision) == "differs"]
        if meaning == 0 or len(differing) < len(found):
            found = differing
    return found if len(found) <= max(FEW, MAX_SHARE * len(stated)) else []
