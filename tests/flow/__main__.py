"""`python -m tests.flow`: from a row in the roster file to a fee in the published report, with the time of each step."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.flow.play import Flow


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="debitura-flow-") as folder:
        flow = Flow(Path(folder))
        flow.play(tell)
    sys.stdout.write(f"{sum(flow.seconds.values()):.0f} s in all; fee published: {flow.fee_usd} USD\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
