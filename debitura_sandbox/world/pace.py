"""Delays of payments in each stage, and the stage of a payment of a given age.

Delays follow the documented terms: Debitura invoices on the 8th, collection partners pay within 30 days, Debitura pays within 20
business days. Only rows drawn as late miss them. A payment's delays never change.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from debitura_sandbox.world import codes
from debitura_sandbox.world.codes import Flags, Ints
from debitura_sandbox.world.columns import Array, mix
from debitura_sandbox.world.world import World

INVOICE_DAY = 8  # of the month, on which Debitura invoices collection partners
SALT = 505


class Delay(NamedTuple):
    """Days in a stage: `least` to `most`, or up to `latest` for the share `late` of the payments."""

    salt: int
    least: int
    most: int
    late: float
    latest: int

    def days(self, world: World, rows: Array) -> Ints:
        """The delay of each of these payments, in days."""
        bits = mix(rows, SALT + self.salt + world.options.seed * 1_000_003)
        draw, part = (bits >> np.uint64(40)) / 2**24, (bits & np.uint64(0xFFFFFF)) / 2**24
        normal = self.least + part * (self.most - self.least + 1)
        late = self.most + 1 + part * (self.latest - self.most)
        return np.asarray(np.where(draw < self.late, late, normal), dtype=np.int64)


CONFIRMED = Delay(0, 1, 12, 0.04, 90)  # the collection partner confirms that the commission is paid
ISSUED = Delay(1, 0, 0, 0.01, 15)  # after the next invoice run
RECEIVED = Delay(2, 4, 28, 0.01, 45)
INVOICED = Delay(3, 2, 20, 0.005, 200)  # a few are forgotten by the partner
PAID_OUT = Delay(4, 8, 24, 0.01, 38)  # 20 business days are 26 to 28 days


def invoice_days(world: World, days: Ints) -> Ints:
    """The first world day after each of `days` on which Debitura has sent its invoices."""
    if not len(days):
        return days
    first, last = int(days.min()), int(days.max())
    start = np.datetime64(world.start_us, "us").astype("datetime64[D]")
    dates = start + np.arange(first, last + 1)
    seen = np.timedelta64(INVOICE_DAY, "D")  # the night after the 8th is over on the 9th
    month = dates.astype("datetime64[M]")
    this, following = (one.astype("datetime64[D]") + seen for one in (month, month + 1))
    found = (np.where(this > dates, this, following) - start).astype("timedelta64[D]").astype(np.int64)
    return np.asarray(found[days - first], dtype=np.int64)


def issue_days(world: World, rows: Array, confirmed: Ints) -> Ints:
    """The world day on which each payment, confirmed on the given day, is invoiced."""
    return invoice_days(world, confirmed) + ISSUED.days(world, rows)


class StageHistory(NamedTuple):
    """The three statuses of payments, and the world days on which they were confirmed and last moved."""

    commission: Ints
    platform: Ints
    referral: Ints
    confirmed: Ints
    moved: Ints


def stage_history(world: World, rows: Array, booked: Ints, pending: Ints) -> StageHistory:
    """The statuses of payments booked on these world days, if nothing unusual has happened to them."""
    confirmed = booked + CONFIRMED.days(world, rows)
    issued = issue_days(world, rows, confirmed)
    received = issued + RECEIVED.days(world, rows)
    invoiced = received + INVOICED.days(world, rows)
    paid_out = invoiced + PAID_OUT.days(world, rows)
    moved = np.select([day <= world.day for day in (paid_out, invoiced, received, issued, confirmed)],
                      [paid_out, invoiced, received, issued, confirmed], booked)  # fmt: skip
    return StageHistory(
        commission=np.where(confirmed <= world.day, codes.PAID, codes.UNPAID),
        platform=np.where(
            received <= world.day, codes.RECEIVED, np.where(issued <= world.day, codes.ISSUED, codes.NOT_INVOICED)
        ),
        referral=np.where(
            paid_out <= world.day,
            codes.REFERRAL_PAID,
            np.where(invoiced <= world.day, codes.REFERRAL_INVOICED, pending),
        ),
        confirmed=confirmed,
        moved=moved,
    )


def ripe(world: World, mask: Flags, delay: Delay) -> Ints:
    """Payments of a stage whose delay is over."""
    rows = np.flatnonzero(mask)
    return np.asarray(rows[world.day - world.transactions["moved"][rows] >= delay.days(world, rows)])


def ripe_to_issue(world: World, mask: Flags) -> Ints:
    """Confirmed payments that are invoiced today."""
    rows = np.flatnonzero(mask)
    return np.asarray(rows[issue_days(world, rows, world.transactions["moved"][rows].astype(np.int64)) <= world.day])
