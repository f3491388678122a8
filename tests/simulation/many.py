"""Many histories, side by side in processes of their own, and what they came to.

Sharing out seeds and adding up; asserting is `test_histories.py`'s, printing `__main__.py`'s.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.util import Finalize
from typing import Any

from tests.simulation.harness import Harness
from tests.simulation.history import Broken, History
from tests.simulation.options import Options

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
        return "\n".join([*lines, self.line()])

    def line(self) -> str:
        """What was played, what held, what did not, in one line."""
        failed = len(self.failures)
        return (
            f"{self.histories} histories with {self.syncs} syncs: {self.histories - failed} held, {failed} failed; "
            f"{self.refused():.2%} of syncs refused; {self.seconds:.0f} s"
        )

    def as_json(self) -> dict[str, object]:
        return {**vars(self), "line": self.line()}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Result:
        failures = [(seed, kind, text) for seed, kind, text in told["failures"]]
        return cls(told["histories"], told["seconds"], Counter(told["counts"]), Counter(told["reasons"]), failures)


def seeds_of(day: date, count: int) -> range:
    """The seeds of a day: the next day has others."""
    first = day.toordinal() * SEEDS_PER_DAY
    return range(first, first + count)


def by_profile(seeds: Sequence[int], processes: int = 2) -> list[Sequence[int]]:
    """Batches in which histories of one world stand together: its first night is then read by one process alone."""
    ordered = sorted(seeds, key=lambda seed: Options.of(seed).profile.world.seed)
    size = max(1, min(MOST_PER_BATCH, -(-len(seeds) // processes)))
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]


def play_batch(seeds: Sequence[int], harness: Harness | None = None) -> Result:
    """Play these seeds in this process; in `harness`, or in that of the pool's process."""
    result, began = Result(), time.monotonic()
    for seed in seeds:
        result.histories += 1
        history = None
        try:
            history = History(Options.of(seed), harness or _harnesses[0])
            history.play()
        except Broken as broken:
            result.failures.append((seed, broken.kind, str(broken)))
        except Exception as error:  # noqa: BLE001 (whatever it is, the seed that shows it matters more)
            trail = "; ".join(history.tally.trail[-5:]) if history else "its first night"
            again = f"play it again: .venv/bin/python -m tests.simulation {seed}"
            text = f"seed {seed}: {again}\n  before that: {trail}\n{traceback.format_exc()}"
            result.failures.append((seed, f"{type(error).__name__}: {str(error)[:100]}", text))
        if history is not None:
            result.counts += history.tally.counts
            result.reasons += history.tally.reasons
    result.seconds = time.monotonic() - began
    gc.collect()
    return result


def play_many(
    batches: Sequence[Sequence[int]],
    processes: int = 2,
    tell: Callable[[Sequence[int], Result], None] = lambda *_: None,
) -> Result:
    """Play these seeds, `processes` batches at a time; `tell` hears of each batch that is done."""
    began, result = time.monotonic(), Result()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_open_harness) as pool:
        playing = {pool.submit(play_batch, batch): batch for batch in batches}
        for part in as_completed(playing):
            result.add(part.result())
            result.seconds = time.monotonic() - began
            tell(playing[part], part.result())
    return result


_harnesses: list[Harness] = []  # of a process of the pool: one


def _open_harness() -> None:
    """What histories share is made once per process, and collected as seldom as their own garbage allows."""
    _harnesses.append(Harness().__enter__())
    Finalize(None, _harnesses[0].__exit__, (None, None, None), exitpriority=1)
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
