"""All write points, and random moments besides: `python -m tests.crash [--every 7] [--random 200]`; hours, on two cores.

With `--log` each case that is done is a line of that file, and a later run goes on with those that are not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.worker import Log, play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--every", type=int, default=1, help="only each n-th write point")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--random", type=int, default=200, help="moments chosen by chance, over both engines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="each takes its part of the cases")
    parser.add_argument("--log", type=Path, help="keep what is done here, and go on where it ends")
    wanted = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="debitura-crash-") as folder:
        log = Log(wanted.log or Path(folder) / "log")
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=play, args=(wanted, log, number)) for number in range(wanted.processes)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        broken = sum(worker.exitcode != 0 for worker in workers)
        held = list(log.done().values())
    sys.stdout.write(
        f"{len(held)} cases: {sum(held)} held, {len(held) - sum(held)} failed; {broken} of {len(workers)} processes broke "
        f"off; {time.monotonic() - began:.0f} s\n"
    )
    return 0 if all(held) and not broken else 1


if __name__ == "__main__":
    sys.exit(main())
