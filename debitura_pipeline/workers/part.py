"""Read one part of a first load in this process, which a worker has started: `python -m debitura_pipeline.workers.part ARGUMENT`.

The argument is a list in JSON: load, part, partner (null without a partners file). The partner's secrets are read here and nowhere
else. Prints what became of the part, as one line of JSON. Does not import Dagster.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.interrupts import INTERRUPTED, caught
from debitura_pipeline.settings import choose_partner, load_settings
from debitura_pipeline.sync.part import PartOutcome, read_part


def main() -> int:
    """Returns 0 if something became of the part, else 1, or 130 after a signal."""
    load_id, number, partner = json.loads(sys.argv[1])
    try:
        with caught():
            outcome = _read(load_id, number, partner)
    except DebituraError as error:
        outcome = PartOutcome("given up", about=str(error).rstrip("."))
    except KeyboardInterrupt:
        return INTERRUPTED
    os.write(1, json.dumps(asdict(outcome)).encode())
    return 0


def _read(load_id: str, number: int, partner: str | None) -> PartOutcome:
    if partner is not None:
        choose_partner(partner)
    settings = load_settings()
    with open_endpoint(settings) as endpoint:
        return read_part(settings, endpoint, load_id, number)


if __name__ == "__main__":
    sys.exit(main())
