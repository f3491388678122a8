"""The revenue stages on the page: order, names, colours, descriptions, and the headline figures.

The stage itself is derived in dbt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from debitura_pipeline.contract.stage_groups import AWAITED, LABELS
from debitura_pipeline.contract.stage_groups import EXPECTED as EXPECTED_STAGES
from debitura_pipeline.formats import CENT, format_amount, in_cents
from debitura_pipeline.report.model import Figure, Pattern, Section, Series
from debitura_pipeline.report.read import ZERO


@dataclass(frozen=True)
class Stage:
    """One stage: its name in the warehouse and on the page, its colour and pattern, what it means."""

    key: str
    css: str
    meaning: str
    pattern: Pattern = ""

    @property
    def label(self) -> str:
        return LABELS[self.key]

    @property
    def series(self) -> Series:
        return Series(self.label, self.css, self.pattern)


# From the ground of a stacked column upwards: what is surest comes first.
STAGES = (
    Stage("Paid", "--stage-paid", "Debitura has paid this fee to you."),
    Stage("AwaitingDebituraPayment", "--stage-invoiced",
          "You have invoiced Debitura, which has not paid yet."),
    Stage("ReadyToInvoiceDebitura", "--stage-ready", "You may invoice Debitura for this fee now.",
          "lines"),
    Stage("AwaitingCollectionPartnerPayment", "--stage-awaited",
          "Debitura has invoiced the collection partner, which has not paid yet.", "stripes"),
    Stage("ConfirmedPendingInvoice", "--stage-confirmed",
          "The commission is confirmed; Debitura has not invoiced the collection partner yet.", "dots"),
    Stage("Pending", "--stage-pending",
          "The debtor has paid, the commission is not confirmed: an estimate that moves with exchange rates.", "lines"),
    Stage("Disputed", "--stage-disputed",
          "Under dispute, so the amount may shrink or go; in no total of expected or earned income."),
    Stage("Unclassified", "--stage-unclassified",
          "Statuses that fit none of the documented stages; in no other figure."),
)  # fmt: skip
BY_KEY: Mapping[str, Stage] = {stage.key: stage for stage in STAGES}
EXPECTED = tuple(stage for stage in STAGES if stage.key in EXPECTED_STAGES)
APART = tuple(stage for stage in STAGES if stage not in EXPECTED)
GLOSSARY = (
    *((stage.label, stage.meaning) for stage in STAGES),
    ("Not before", "The clock of this step started at the first reading of the API, so this is the earliest date; the step may "
                   "be later than its terms already."),
    ("May be clawed back", "The commission behind this fee was credited after it became final: Debitura may ask for it back."),
)  # fmt: skip


@dataclass(frozen=True)
class StageSum:
    """Fees of one stage, over all clients and months, and the part that Debitura may take back."""

    transactions: int
    fee_usd: Decimal
    risk_usd: Decimal = ZERO


def stage_of(key: str) -> Stage:
    """The stage of that name; an unknown one counts as unclassified."""
    return BY_KEY.get(key, BY_KEY["Unclassified"])


def present(keys: Iterable[str], among: Iterable[Stage] = STAGES) -> list[Stage]:
    """The stages of `among` that occur in `keys`, in stacking order."""
    found = {stage_of(key).key for key in keys}
    return [stage for stage in among if stage.key in found]


def sum_of(sums: Mapping[str, StageSum], *keys: str) -> Decimal:
    """Fees of these stages together, USD."""
    return sum((sums[key].fee_usd for key in keys if key in sums), start=ZERO)


def still_to_come(sums: Mapping[str, StageSum]) -> Decimal:
    """Fees of all stages before Paid, USD; without disputed and unclassified ones."""
    return sum(still_to_come_by_certainty(sums), start=ZERO)


def still_to_come_by_certainty(sums: Mapping[str, StageSum]) -> tuple[Decimal, Decimal, Decimal]:
    """What can be invoiced now, what is confirmed, and what is estimated, USD."""
    return sum_of(sums, "ReadyToInvoiceDebitura"), sum_of(sums, *AWAITED), sum_of(sums, "Pending")


def printed_parts(parts: Sequence[Decimal], whole: Decimal) -> list[Decimal]:
    """The parts, rounded to cents so that they sum to `whole`.

    The rounding difference goes to the last part that it does not make negative. That is the least certain one, so an amount to
    be invoiced is printed as it is on the invoice. If the parts do not sum to `whole`, each is rounded on its own.
    """
    cents = [in_cents(part) for part in parts]
    left = in_cents(whole) - sum(cents, start=Decimal(0))  # ZERO has four decimals, which would be printed
    if left and abs(sum(parts, start=ZERO) - whole) < CENT:
        places = [place for place, part in enumerate(parts) if part]
        fit = [place for place in places if cents[place] < 0 or cents[place] + left >= 0]
        cents[max(fit or places)] += left
    return cents


def headline(sums: Mapping[str, StageSum]) -> tuple[Figure, ...]:
    """The headline figures; empty without transactions. Unclassified fees are shown only if there are any."""
    if not any(one.transactions for one in sums.values()):
        return ()

    def words(text: str, *keys: str) -> str:
        risk = sum((sums[key].risk_usd for key in keys if key in sums), start=ZERO)
        return f"{text} Of which may be clawed back: {format_amount(risk)}." if risk else text

    parts = [
        f"{format_amount(sum_of(sums, key))} {BY_KEY[key].label[0].lower()}{BY_KEY[key].label[1:]}"
        for key in AWAITED
        if sum_of(sums, key)
    ]
    awaited = "Confirmed fees whose payment is still on its way" + (f": {', '.join(parts)}." if parts else ".")
    certainty = still_to_come_by_certainty(sums)
    ready, confirmed, estimated = printed_parts(certainty, sum(certainty, start=ZERO))
    figures = [
        Figure("paid_usd", "Earned and paid", sum_of(sums, "Paid"), words("Debitura has paid these fees to you.", "Paid"),
               "--stage-paid"),
        Figure("ready_usd", "Ready to invoice", sum_of(sums, "ReadyToInvoiceDebitura"),
               words("You may invoice Debitura for these fees now.", "ReadyToInvoiceDebitura"), "--stage-ready", ready),
        Figure("awaited_usd", "Awaited", sum_of(sums, *AWAITED), words(awaited, *AWAITED), "--stage-invoiced",
               confirmed),
        Figure("estimated_usd", "Estimated", sum_of(sums, "Pending"),
               "An estimate, not earnings: commission not confirmed, and the amount moves with exchange rates.",
               "--stage-pending", estimated),
        Figure("disputed_usd", "Disputed", sum_of(sums, "Disputed"),
               "Under dispute: may shrink or go. In none of the other figures.", "--stage-disputed"),
    ]  # fmt: skip
    if "Unclassified" in sums and sums["Unclassified"].transactions:
        figures.append(Figure("unclassified_usd", "Unclassified", sum_of(sums, "Unclassified"),
                              "Statuses that fit no documented stage. In none of the other figures; see data quality.",
                              "--stage-unclassified"))  # fmt: skip
    return tuple(figures)


def patterns_of(sections: Iterable[Section]) -> tuple[Series, ...]:
    """Each pattern that the charts fill areas with, once."""
    series = [one for section in sections if section.chart for one in section.chart.legend if one.pattern]
    return tuple({one.css: one for one in series}.values())
