"""What the webhook receiver and the hourly look at the subscriptions have left in the data directory."""

from __future__ import annotations

from debitura_pipeline.incidents.facts import WebhookFacts
from debitura_pipeline.settings import Settings


def read_webhook_facts(settings: Settings) -> WebhookFacts | None:
    """Subscriptions that are switched off, stale deliveries and the oldest event; None where webhooks are not used."""
    return None
