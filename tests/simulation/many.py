"""Many histories, side by side in processes of their own, and what they came to.

Belongs here: sharing out seeds, adding up. Does not: asserting (`test_histories.py`) or printing (`__main__.py`).
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.history import Broken, History, Options
from tests.simulation.workshop import Workshop

BATCHES_PER_PROCESS = 2  # each makes anew what its histories share; of one alone, half would be idle at the end


@dataclass
class Result:
    """Histories played, what they held in all, and the failures: seed and text."""

    histories: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.histories += other.histories
        self.counts += other.counts
        self.failures += other.failures

    @property
    def syncs(self) -> int:
        return sum(self.counts[f"{mode} syncs"] for mode in ("full", "small", "nightly"))

    def text(self) -> str:
        rate = self.histories / self.seconds if self.seconds else 0.0
        lines = [f"{self.histories} histories in {self.seconds:.0f} s ({rate:.1f}/s)"]
        lines += [f"  {name}: {count}" for name, count in sorted(self.counts.items())]
        lines += [f"FAILED {text}" for _, text in sorted(self.failures)[:20]]
        if self.failures:
            lines.append(f"{len(self.failures)} seeds failed: {sorted(seed for seed, _ in self.failures)[:100]}")
        return "\n".join(lines)


def play_batch(seeds: range) -> Result:
    result = Result()
    with Workshop() as workshop:
        for seed in seeds:
            result.histories += 1
            try:
                result.counts += History(Options.of(seed), workshop).play().counts
            except Broken as broken:
                result.failures.append((seed, str(broken)))
            except Exception:  # noqa: BLE001 (whatever it is, the seed that shows it matters more)
                text = (
                    f"seed {seed}: play it again: .venv/bin/python -m tests.simulation {seed}\n{traceback.format_exc()}"
                )
                result.failures.append((seed, text))
    return result


def play_many(first: int, count: int, processes: int = 2) -> Result:
    """Play the seeds from `first` on, `processes` at a time."""
    began = time.monotonic()
    size = max(1, -(-count // (processes * BATCHES_PER_PROCESS)))
    batches = [range(at, min(at + size, first + count)) for at in range(first, first + count, size)]
    result = Result()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for part in pool.map(play_batch, batches):
            result.add(part)
    result.seconds = time.monotonic() - began
    return result
