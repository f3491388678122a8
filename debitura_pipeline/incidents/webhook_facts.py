"""What the webhook receiver and the hourly look at the subscriptions have left in the data directory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
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
from debitura_pipeline.webhooks.watch import SubscriptionOff, uses_webhooks

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
    is_used = uses_webhooks(settings, inbox)  # else nobody looks at the subscriptions any more
    off = off_subscriptions(settings.data_dir) if is_used else ()
    return WebhookFacts(off, stale.count, stale.last_at, inbox.oldest_waiting_at)


def note_off(data_dir: Path, off: Iterable[SubscriptionOff]) -> None:
    """Note which subscriptions are off, whenever the API has said so; none closes their incidents. Never raises: a full disk is an
    incident of its own."""
    _note(data_dir, [OffSubscription(one.id, one.describe(), one.since) for one in off])


def forget_off(data_dir: Path, subscription_id: str) -> None:
    """Note that a subscription was switched on, or removed. Never raises."""
    noted = off_subscriptions(data_dir)
    left = [one for one in noted if one.subscription_id != subscription_id.lower()]
    if len(left) < len(noted):
        _note(data_dir, left)


def _note(data_dir: Path, off: Sequence[OffSubscription]) -> None:
    folder = data_dir / FOLDER
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_atomically(folder / SUBSCRIPTIONS, msgspec.json.encode(list(off)), fsync=False)


def off_subscriptions(data_dir: Path) -> tuple[OffSubscription, ...]:
    """The subscriptions that are off, as far as it is noted."""
    try:
        noted = (data_dir / FOLDER / SUBSCRIPTIONS).read_bytes()
        return msgspec.json.decode(noted, type=tuple[OffSubscription, ...])
    except (OSError, msgspec.DecodeError):
        return ()
