"""Play histories: `python -m tests.simulation 4711` one of them, `--seeds 20000` many, two at a time."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.history import History
from tests.simulation.many import Result, play_many
from tests.simulation.options import Options
from tests.simulation.workshop import Workshop


def tell(part: Result) -> None:
    """Failures as they come: thousands of histories take hours."""
    for _, _, text in part.failures:
        sys.stderr.write(f"FAILED {text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seed", type=int, nargs="*")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    wanted = parser.parse_args()
    if wanted.seed:
        with Workshop() as workshop:
            for seed in wanted.seed:
                options = Options.of(seed)
                sys.stdout.write(f"{options}\n{History(options, workshop).play()}\n")
        return 0
    result = play_many(range(wanted.first, wanted.first + wanted.seeds), wanted.processes, tell)
    sys.stdout.write(f"{result.text()}\n")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
