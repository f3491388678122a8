"""Facts about webhooks that need attention: subscriptions that are off, and events that wait too long. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from debitura_pipeline.settings import Settings
from debitura_pipeline.webhooks.position import InboxState
from debitura_pipeline.webhooks.subscriptions import Subscription

HANDLED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class SubscriptionOff:
    """A subscription that delivers nothing. `since`: its last change at the API. `is_automatic`: the API switched it off, after
    failed deliveries; otherwise somebody did. `last_event_at`: when this receiver last got an event."""

    id: str
    since: datetime | None
    reason: str | None
    is_automatic: bool
    last_event_at: datetime | None = None

    def describe(self) -> str:
        """One sentence, without the subscription's address."""
        who = f"the API switched it off ({self.reason})" if self.is_automatic else "it was switched off by hand"
        since = f" since {self.since:%Y-%m-%d %H:%M} UTC" if self.since else ""
        last = f"; the last event came at {self.last_event_at:%Y-%m-%d %H:%M} UTC" if self.last_event_at else ""
        return f"Webhook subscription {self.id} is off{since}: {who}{last}."


def switched_off(
    subscriptions: Iterable[Subscription], last_event_at: datetime | None = None
) -> tuple[SubscriptionOff, ...]:
    """The subscriptions that deliver nothing."""
    return tuple(
        SubscriptionOff(one.id, one.updated_at, one.disabled_reason, one.disabled_reason is not None, last_event_at)
        for one in subscriptions
        if not one.is_active
    )


def overdue_since(state: InboxState, now: datetime) -> datetime | None:
    """When the oldest event was received that had no run within an hour; None if there is none."""
    oldest = state.oldest_waiting_at
    return oldest if oldest is not None and now - oldest > HANDLED_WITHIN else None


def uses_webhooks(settings: Settings, state: InboxState) -> bool:
    """Whether anything is to be watched: a receiver is set up, or has been."""
    return state.exists or bool(settings.webhooks.secrets)


def describe_subscriptions(off: Sequence[SubscriptionOff], total: int) -> str:
    """One line for a check."""
    if off:
        return " ".join(one.describe() for one in off)
    return (
        f"All {total} webhook subscriptions are on" if total else "The API has no webhook subscription of this partner"
    )
