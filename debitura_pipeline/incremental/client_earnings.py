"""Find clients whose expected transactions contradict the earnings that their own records state, and check their rows.

A transaction can move to another client while no total of the whole listing changes. What the API counts as earnings is not
documented, so the meaning is taken that fits most clients. If too many differ, the figures mean something else, unless they were
equal before: then everything is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from debitura_pipeline.contract.stages import EARNINGS
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.comparison import Verdict, compare, stated_precision
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.incremental.client_counts import MAX_PAGES
from debitura_pipeline.incremental.differences import compare_totals, honours_filter
from debitura_pipeline.incremental.expected_state import ExpectedState, FeeSums
from debitura_pipeline.incremental.hourly_totals import NO_ROWS, CountAndSum
from debitura_pipeline.incremental.rotation import page_count

FEW = 5  # clients that may always be checked, one request each
MAX_SHARE = (
    0.1  # of the clients with earnings: if more differ, exchange rates moved, or the figures mean something else
)
MAX_COST = 0.02  # of the requests that reading everything takes
UNDERSTOOD = Decimal("0.9")  # of the clients with earnings were equal
MAX_ROWS = 200  # of a client that cannot be asked for, read hour by hour
NO_FEES: FeeSums = (Decimal(0),) * len(EARNINGS)


class TooManySuspects(UnprovenError):
    """More clients contradict their transactions than can be checked one by one."""


@dataclass(frozen=True)
class StatedEarnings:
    """`by_creditor`: what each client's own record states, in USD.

    `known`: what was stated when a proven reading was compared last, of clients that differed. `is_understood`: nearly all were
    equal once, so that it is known what the figures mean.
    """

    by_creditor: Mapping[str, Decimal] = field(default_factory=dict)
    known: Mapping[str, Decimal] = field(default_factory=dict)
    is_understood: bool = False

    def is_news(self, creditor: str) -> bool:
        """Whether a client states other earnings than at the last comparison, or did not differ then."""
        return self.known.get(creditor) != self.by_creditor.get(creditor)


@dataclass
class ClientEarnings:
    """`tenants`: tenant id by creditor, None if it has none; several may have one.

    `before`: our sums when the sync began, None before that.
    """

    stated: StatedEarnings = field(default_factory=StatedEarnings)
    tenants: Mapping[str, str | None] = field(default_factory=dict)
    before: Mapping[str, FeeSums] | None = None

    def begin(self, expected: ExpectedState) -> None:
        """Note our sums before anything is read."""
        if self.stated.by_creditor:
            self.before = expected.fees_by_client()

    def suspects(self, expected: ExpectedState) -> list[str]:
        """Clients to check, sorted; none if they are too many and it is not known what the figures mean.

        Raises TooManySuspects if they are too many and it is.
        """
        if not self.stated.by_creditor:
            return []
        now = expected.fees_by_client()
        moments = [now] if self.before is None else [self.before, now]
        found, active = disagreeing(self.stated.by_creditor, moments)
        found = [creditor for creditor in found if self.stated.is_news(creditor)]
        if len(found) <= max(FEW, min(MAX_COST * page_count(expected.count()), MAX_SHARE * active)):
            return found
        if self.stated.is_understood:
            raise TooManySuspects(
                f"transactions: the earnings stated for {len(found)} clients differ from the sums of their transactions.",
                resource="transactions",
            )
        return []

    def creditors_by_tenant(self, suspects: Sequence[str]) -> dict[str, list[str]]:
        """Every creditor of the tenants that these have, by tenant; none for those without a tenant id."""
        wanted = {self.tenants.get(creditor) for creditor in suspects} - {None}
        found: dict[str, list[str]] = defaultdict(list)
        for creditor, tenant in self.tenants.items():
            if tenant is not None and tenant in wanted:
                found[tenant].append(creditor)
        return found


def disagreeing(stated: Mapping[str, Decimal], ours: Sequence[Mapping[str, FeeSums]]) -> tuple[list[str], int]:
    """Return the clients whose stated earnings differ from their expected transactions, sorted, and how many clients have earnings.

    `stated`: in USD by creditor. `ours`: the sums of `EARNINGS` by creditor (none if it has no transactions) at several times. A
    client that agrees at any of them does not differ: its record may be older than its latest transactions. Pure.
    """
    sums = {creditor: [at.get(creditor, NO_FEES) for at in ours] for creditor in sorted(stated)}
    active = [creditor for creditor in sums if stated[creditor] or any(map(any, sums[creditor]))]
    precision = stated_precision(stated.values())
    found = active
    for meaning in range(len(EARNINGS)):
        differing = [
            creditor
            for creditor in active
            if all(compare(stated[creditor], fees[meaning], precision) == "differs" for fees in sums[creditor])
        ]
        if len(differing) < len(found):
            found = differing
    return found, len(active)


def totals_by_creditor(rows: Iterable[tuple[str, str, int, int]]) -> dict[str, dict[str, CountAndSum]]:
    """Rows of `ExpectedState.totals_of_clients` by creditor and bucket."""
    found: dict[str, dict[str, CountAndSum]] = defaultdict(dict)
    for creditor, bucket, count, usd in rows:
        found[creditor][bucket] = count, usd
    return found


def compare_client(
    stated: Totals, overall: Totals, ours: Sequence[Mapping[str, CountAndSum]], precision: Decimal
) -> Verdict:
    """Compare the API's totals of a tenant's rows with ours, one for each of its clients. Pure.

    `overall`: the API's totals of the whole listing. Several clients of one tenant may have exchanged rows, so they always
    differ. Equal counts alone prove nothing: where the summary does not follow the tenant, a client differs if it is small enough
    to be read, and is `unproven` otherwise.
    """
    total = added_up(ours)
    if len(ours) > 1 or stated.count != sum(rows for rows, _ in total.values()):
        return "differs"
    if not honours_filter(stated, overall):
        return "differs" if page_count(stated.count) <= MAX_PAGES else "unproven"
    return "differs" if compare_totals(stated, total, precision) else "equal"


def added_up(parts: Iterable[Mapping[str, CountAndSum]]) -> dict[str, CountAndSum]:
    """The totals of several clients together, by bucket."""
    found: dict[str, CountAndSum] = {}
    for part in parts:
        for bucket, (count, usd) in part.items():
            before = found.get(bucket, NO_ROWS)
            found[bucket] = before[0] + count, before[1] + usd
    return found
