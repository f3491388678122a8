"""Fit the ages of rows to a given share of open cases or unsettled payments, as a large, long-standing partner has them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from debitura_sandbox.world import codes
from debitura_sandbox.world.codes import DAY_US, Flags, Ints

SPREAD = 0.6  # of the pace at which payments get settled; some take three times as long as others
# The progress of a payment towards being settled (1: settled), and its statuses at that point.
CONFIRMED, ISSUED, RECEIVED, INVOICED = 0.68, 0.76, 0.84, 0.90
ODD = {"credited": 0.01, "invoice_credited": 0.005, "disputed": 0.03}  # of the unsettled, once confirmed


class Statuses(NamedTuple):
    """The three statuses of payments."""

    commission: Ints
    platform: Ints
    referral: Ints


def link_dates(rng: np.random.Generator, count: int, now_us: int, span_us: int) -> Ints:
    """Clients won early, as a rule: with cases in proportion to the time since, the partner grows slowly, not tenfold."""
    return np.asarray(now_us - ((1 - rng.random(count) ** 2) * span_us).astype(np.int64), dtype=np.int64)


def settle_signatures(done: Flags, linked: Ints, now_us: int) -> Flags:
    """Clients linked more than two months ago have signed, else their cases would stay open for ever."""
    return np.asarray(done | (linked < now_us - 60 * DAY_US), dtype=bool)


def fit_lengths(lengths: Any, ages: Ints, is_signed: Flags, open_share: float) -> Any:
    """Stretch or shorten all cases' lengths alike, so that this share of the cases has not come to its end yet.

    Cases of clients that still have to sign are open whatever their age, and count.
    """
    signed = ages[is_signed] / lengths[is_signed]
    wanted = round(open_share * len(ages)) - int((~is_signed).sum())
    if not len(signed):
        return lengths
    place = int(np.clip(wanted, 0, len(signed) - 1))
    return lengths * max(float(np.partition(signed, place)[place]), 1e-9)


def statuses(rng: np.random.Generator, ages_us: Ints, unsettled_share: float, pending: Ints) -> Statuses:
    """Statuses of payments of these ages, exactly this share not paid out, about two thirds of those still estimates."""
    count = len(ages_us)
    slow = np.maximum(ages_us, 1) / np.exp(rng.normal(0.0, SPREAD, count))
    place = min(round(unsettled_share * count), count - 1)
    way = slow / np.partition(slow, place)[place] if count else slow
    draws = rng.random(count)
    is_odd = (way >= CONFIRMED) & (way < 1)
    edges = np.cumsum(list(ODD.values()))
    credited, invoice_credited = is_odd & (draws < edges[0]), is_odd & (draws >= edges[0]) & (draws < edges[1])
    disputed = is_odd & (draws >= edges[1]) & (draws < edges[2])
    commission = np.where(way < CONFIRMED, codes.UNPAID, np.where(credited, codes.CREDITED, codes.PAID))
    platform = np.where(way < ISSUED, codes.NOT_INVOICED, np.where(way < RECEIVED, codes.ISSUED, codes.RECEIVED))
    platform = np.where(credited, codes.NOT_INVOICED, np.where(invoice_credited, codes.INVOICE_CREDITED, platform))
    referral = np.where(way < INVOICED, pending, np.where(way < 1, codes.REFERRAL_INVOICED, codes.REFERRAL_PAID))
    referral = np.where(disputed, codes.DISPUTED, np.where(credited | invoice_credited, pending, referral))
    return Statuses(commission, platform, referral)
