"""What `debitura doctor --probe-writes` measured of the API's undocumented behaviour, kept in the data directory."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.identity import api_name

FILE = "write-facts.json"


@dataclass(frozen=True)
class WriteFacts:
    """Measured once on `api`, with test cases. None: could not be measured.

    `keys_honoured` (A1, for the length of the probe), ` `late_effect` (A2: an unanswered request took effect afterwards),
    `lookup_delay_s` (A3), `refuses_duplicates` (A4).
    """

    api: str
    measured_at: str
    keys_honoured: bool | None = None
    late_effect: bool | None = None
    lookup_delay_s: float | None = None
    refuses_duplicates: bool | None = None


def facts_file(settings: Settings) -> Path:
    """Where the facts are kept."""
    return settings.data_dir / FILE


def read_facts(settings: Settings) -> WriteFacts | None:
    """The facts, if they were measured on the API that the settings name."""
    try:
        found = WriteFacts(**json.loads(facts_file(settings).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.api == api_name(settings) else None


def keep_facts(settings: Settings, facts: WriteFacts) -> None:
    """Write the facts, replacing earlier ones."""
    content = json.dumps(asdict(facts), indent=2) + "\n"
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_atomically(facts_file(settings), content.encode(), fsync=True)


def keys_honoured(settings: Settings) -> bool:
    """Whether keys were measured to be honoured, which only shortens the wait before a repeat."""
    facts = read_facts(settings)
    return facts is not None and facts.keys_honoured is True


def utc(at: datetime) -> str:
    """An instant as the facts file has it."""
    return at.isoformat(timespec="seconds")
