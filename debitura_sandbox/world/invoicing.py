"""Advance existing payments by a day: through the stages up to the payout, with occasional corrections."""

from __future__ import annotations

from collections.abc import Callable

from debitura_sandbox.world import codes, outcomes, pace, payments
from debitura_sandbox.world.codes import Flags, Ints
from debitura_sandbox.world.world import World

Some = Callable[..., Ints]  # a random sample of the rows of a mask, see `daily_changes`


def move_stages(world: World, some: Some) -> None:
    """Advance payments whose delay is over; a few move back, are credited, or disputed."""
    table, day = world.transactions, world.day
    alive, moved = table["alive"], table["moved"]
    commission, platform, referral = table["commission"], table["platform"], table["referral"]
    pending = alive & (referral <= codes.REFERRAL_PENDING)
    issued, received = pending & (platform == codes.ISSUED), pending & (platform == codes.RECEIVED)
    sent = alive & (referral == codes.REFERRAL_INVOICED)
    uninvoiced = pending & (platform == codes.NOT_INVOICED)
    to_issue = pace.ripe_to_issue(world, uninvoiced & (commission == codes.PAID))
    to_receive = _taken(issued, pace.ripe(world, issued, pace.RECEIVED))
    to_send = _taken(received, pace.ripe(world, received, pace.INVOICED))
    to_pay = _taken(sent, pace.ripe(world, sent, pace.PAID_OUT))
    to_confirm = pace.ripe(world, uninvoiced & (commission == codes.UNPAID), pace.CONFIRMED)
    to_reissue = some(pending & (platform == codes.INVOICE_CREDITED) & (moved < day - 20), 0.2)
    settled = some(alive & (referral == codes.DISPUTED), 0.05)
    confirmed = alive & (commission == codes.PAID) & (platform != codes.NOT_INVOICED)
    for rows, column, value in (
        (to_issue, "platform", codes.ISSUED), (to_reissue, "platform", codes.ISSUED),
        (to_receive, "platform", codes.RECEIVED), (to_send, "referral", codes.REFERRAL_INVOICED),
        (to_pay, "referral", codes.REFERRAL_PAID), (settled, "referral", codes.REFERRAL_PAID),
        (some(issued, 0.0002, day % 6 == 0), "platform", codes.NOT_INVOICED),
        (some(sent, 0.0003, day % 4 == 1), "referral", codes.REFERRAL_PENDING),
        (_taken(sent, some(sent, 0.002, day % 3 == 2)), "referral", codes.DISPUTED),
        (some(confirmed, 0.00002, day % 4 == 2), "commission", codes.CREDITED),
        (to_confirm, "commission", codes.PAID),
    ):  # fmt: skip
        table[column][rows], moved[rows] = value, day
    table["locked_day"][to_confirm] = day


def correct_payments(world: World, some: Some) -> None:
    """Edit or delete some payments that are not invoiced yet; cases that were paid by a deleted one are reopened."""
    table, cases = world.transactions, world.cases
    free = table["alive"] & (table["platform"] == codes.NOT_INVOICED) & (table["referral"] <= codes.REFERRAL_PENDING)
    is_open = cases["close_code"] == codes.NO_CODE
    edited = some(free, 0.002, 1)
    payments.lower(world, edited)
    payments.delete(world, some(free & is_open[table["case"]], 0.0005, world.day % 2))
    outcomes.reopen(world, table["case"][edited])


def _taken(mask: Flags, rows: Ints) -> Ints:
    """The rows, removed from the mask so that nothing else changes them on this day."""
    mask[rows] = False
    return rows
