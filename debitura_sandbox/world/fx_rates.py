"""Exchange rates of the simulated world: one per currency and day, determined by the seed. Integer arithmetic throughout."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from debitura_sandbox.world.addresses import CURRENCIES, USD_RATES
from debitura_sandbox.world.codes import Ints
from debitura_sandbox.world.columns import share

MICRO = 1_000_000
HORIZON_DAYS = 3_660  # ten years after the start; rates are constant from then on
PULL, STEP = 0.02, 0.004  # a daily move of some tenths of a percent, drawn back to the currency's usual rate


class FxRates:
    """Daily rates from `history_days` before the world's start (day 0) to the horizon."""

    def __init__(self, seed: int, history_days: int) -> None:
        self._history = history_days
        rng = np.random.default_rng([seed, 401])
        drift = np.zeros(len(CURRENCIES))
        rates = np.empty((history_days + HORIZON_DAYS, len(CURRENCIES)), dtype=np.int64)
        steps = rng.normal(0, STEP, rates.shape)
        for day in range(len(rates)):
            drift = drift * (1 - PULL) + steps[day]
            rates[day] = np.rint(np.array(USD_RATES) * np.exp(drift))
        rates[:, CURRENCIES.index("USD")] = MICRO
        self._rates = rates

    def usd(self, amounts: npt.NDArray[Any], currencies: npt.NDArray[Any], days: npt.NDArray[Any] | int) -> Ints:
        """`amounts` in USD at the rate of each one's day, rounded to 1/10,000."""
        return share(amounts, self._rates[self._rows(days), currencies], MICRO)

    def convert(
        self, amounts: Ints, source: npt.NDArray[Any], target: npt.NDArray[Any], days: npt.NDArray[Any]
    ) -> Ints:
        """`amounts` of currency `source` in currency `target` at the rates of each one's day, in whole hundredths."""
        rows = self._rows(days)
        hundredths = amounts // 100 * self._rates[rows, source] // self._rates[rows, target]
        return np.asarray(np.maximum(hundredths, 1) * 100, dtype=np.int64)

    def _rows(self, days: npt.NDArray[Any] | int) -> Ints:
        return np.asarray(np.clip(np.asarray(days) + self._history, 0, len(self._rates) - 1), dtype=np.int64)
