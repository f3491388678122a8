"""Many histories, side by side in processes of their own, and what they came to.

Sharing out seeds and adding up; asserting is `test_histories.py`'s, printing `__main__.py`'s.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date

from tests.simulation.history import Broken, History
from tests.simulation.options import Options
from tests.simulation.workshop import Workshop

MOST_PER_BATCH = 20  # histories: more, and one process is idle for long at the end
SEEDS_PER_DAY = 1_000_000  # the first seed of a day is its number times this
PLANS = ("full", "small", "nightly", "client")


@dataclass
class Result:
    """Histories played, what they held in all, and the failures: seed, kind and text."""

    histories: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.histories += other.histories
        self.counts += other.counts
        self.reasons += other.reasons
        self.failures += other.failures

    @property
    def syncs(self) -> int:
        return sum(self.counts[f"{plan} syncs"] for plan in PLANS)

    def refused(self, most_unrest: float = 1.0) -> float:
        """Share of syncs that ended with nothing, because what was read could not be proven, in worlds no more restless."""
        told = {name: count for name, count in self.counts.items() if name.startswith("unrest ")}
        calm = {name: count for name, count in told.items() if float(name.split()[1].rstrip(":")) <= most_unrest}
        refused = sum(count for name, count in calm.items() if name.endswith("refused"))
        done = sum(count for name, count in calm.items() if name.endswith("done"))
        return refused / max(1, done + refused)

    @property
    def wrong(self) -> float:
        """Share of syncs whose rows are not right, and that say that they are not proven."""
        return self.counts["wrong, and said so"] / max(1, self.syncs)

    def text(self) -> str:
        rate = self.histories / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.histories} histories, {self.syncs} syncs in {self.seconds:.0f} s ({rate:.1f} histories a second)"
        ]
        lines += [f"  {name}: {count}" for name, count in sorted(self.counts.items())]
        lines.append(
            f"{self.refused():.2%} of syncs refused, {self.wrong:.2%} wrong and said so. Why they were, or ended without proof:"
        )
        lines += [f"  {count} x {reason}" for reason, count in self.reasons.most_common(20)]
        lines += [f"FAILED {text}" for _, _, text in sorted(self.failures)[:20]]
        for kind, count in Counter(kind for _, kind, _ in self.failures).most_common():
            seeds = sorted(seed for seed, other, _ in self.failures if other == kind)
            lines.append(f"{count} x {kind}: seeds {' '.join(map(str, seeds[:12]))}")
        lines.append(f"{len(self.failures)} of {self.histories} histories failed")
        return "\n".join(lines)


def seeds_of(day: date, count: int) -> range:
    """The seeds of a day: the next day has others."""
    first = day.toordinal() * SEEDS_PER_DAY
    return range(first, first + count)


def play_batch(seeds: Sequence[int]) -> Result:
    result = Result()
    with Workshop() as workshop:
        for seed in seeds:
            result.histories += 1
            history = History(Options.of(seed), workshop)
            try:
                history.play()
            except Broken as broken:
                result.failures.append((seed, broken.kind, str(broken)))
            except Exception as error:  # noqa: BLE001 (whatever it is, the seed that shows it matters more)
                trail = "; ".join(history.tally.trail[-5:])
                again = f"play it again: .venv/bin/python -m tests.simulation {seed}"
                text = f"seed {seed}: {again}\n  before that: {trail}\n{traceback.format_exc()}"
                result.failures.append((seed, f"{type(error).__name__}: {str(error)[:100]}", text))
            result.counts += history.tally.counts
            result.reasons += history.tally.reasons
    return result


def play_many(seeds: Sequence[int], processes: int = 2, tell: Callable[[Result], None] = lambda _: None) -> Result:
    """Play these seeds, `processes` at a time; `tell` hears of each batch that is done."""
    began = time.monotonic()
    size = max(1, min(MOST_PER_BATCH, -(-len(seeds) // processes)))
    batches = [seeds[at : at + size] for at in range(0, len(seeds), size)]
    result = Result()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for part in as_completed([pool.submit(play_batch, batch) for batch in batches]):
            result.add(part.result())
            result.seconds = time.monotonic() - began
            tell(part.result())
    return result
