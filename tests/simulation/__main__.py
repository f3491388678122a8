"""Play histories: `python -m tests.simulation 4711` one of them, `--seeds 20000` many, two at a time.

With `--log` each chunk's result is kept in that file, one JSON line a chunk, and chunks that stand there are not played again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.harness import Harness
from tests.simulation.history import History
from tests.simulation.many import Result, play_many
from tests.simulation.options import Options


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seed", type=int, nargs="*")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=50, help="histories after which results are told and kept")
    parser.add_argument("--log", type=Path, help="keep results here, and go on where they end")
    wanted = parser.parse_args()
    if wanted.seed:
        with Harness() as harness:
            for seed in wanted.seed:
                options = Options.of(seed)
                sys.stdout.write(f"{options}\n{History(options, harness).play()}\n")
        return 0
    result = _play(wanted)
    sys.stdout.write(f"{result.text()}\n")
    return 1 if result.failures else 0


def _play(wanted: argparse.Namespace) -> Result:
    """The seeds that are wanted; those of the log are counted in."""
    done = _known(wanted.log)
    ends = wanted.first + wanted.seeds
    chunks = [range(at, min(at + wanted.chunk, ends)) for at in range(wanted.first, ends, wanted.chunk)]
    result = Result()
    for known in done.values():
        result.add(known)

    def tell(chunk: Sequence[int], part: Result) -> None:
        for _, _, text in part.failures:
            sys.stderr.write(f"FAILED {text}\n")
        sys.stderr.write(f"seeds {_name(chunk)}: {part.line()}\n")
        if wanted.log is not None:
            with wanted.log.open("a") as log:
                log.write(json.dumps({"seeds": _name(chunk), **part.as_json()}) + "\n")

    new = play_many([chunk for chunk in chunks if _name(chunk) not in done], wanted.processes, tell)
    result.add(new)
    result.seconds = sum(known.seconds for known in done.values()) + new.seconds
    return result


def _known(log: Path | None) -> dict[str, Result]:
    """Results by seeds; a line that was cut short counts as not played."""
    known = {}
    for line in log.read_text().splitlines() if log is not None and log.exists() else ():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        known[told["seeds"]] = Result.from_json(told)
    return known


def _name(chunk: Sequence[int]) -> str:
    return f"{chunk[0]} to {chunk[-1]}"


if __name__ == "__main__":
    sys.exit(main())
