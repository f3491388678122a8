"""What the webhook receiver and the hourly look at the subscriptions have left in the data directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.incidents.facts import OffSubscription, WebhookFacts
from debitura_pipeline.incidents.state import FOLDER
from debitura_pipeline.settings import Settings
from debitura_pipeline.webhooks.position import InboxState, inbox_state
from debitura_pipeline.webhooks.segments import FOLDER as INBOX
from debitura_pipeline.webhooks.stale import read_stale

SUBSCRIPTIONS = "subscriptions-off.json"


def read_webhook_facts(settings: Settings) -> WebhookFacts | None:
    """Subscriptions that are off, stale deliveries, the oldest event that waits; None where webhooks are not used."""
    noted = settings.data_dir / FOLDER / SUBSCRIPTIONS
    try:
        inbox = inbox_state(settings.data_dir)
    except WarehouseError:
        inbox = InboxState(exists=False)
    stale = read_stale(settings.data_dir / INBOX)  # there may be nothing but stale deliveries
    if not noted.exists() and not inbox.exists and not stale.count:
        return None
    return WebhookFacts(_off(noted), stale.count, stale.last_at, inbox.oldest_waiting_at)


def note_subscriptions(data_dir: Path, off: Sequence[OffSubscription]) -> None:
    """Note which subscriptions are off, whenever the API has said so; none closes their incidents. Raises OSError."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_atomically(folder / SUBSCRIPTIONS, msgspec.json.encode(list(off)), fsync=False)


def _off(noted: Path) -> tuple[OffSubscription, ...]:
    try:
        return msgspec.json.decode(noted.read_bytes(), type=tuple[OffSubscription, ...])
    except (OSError, msgspec.DecodeError):
        return ()
