"""What DEBITURA_WRITES allows to be sent."""

from __future__ import annotations

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import Settings

CLIENTS, CASES, WEBHOOKS = "clients", "cases", "webhooks"
_WRITES = {
    CLIENTS: "clients to be registered",
    CASES: "cases to be submitted",
    WEBHOOKS: "webhook subscriptions to be changed",
}


def require_writes(settings: Settings, word: str) -> None:
    """Raises SettingsError unless DEBITURA_WRITES has `word`: CLIENTS, CASES or WEBHOOKS."""
    if word not in settings.outbound.writes:
        raise SettingsError(
            f"DEBITURA_WRITES does not allow {_WRITES[word]}, so nothing was sent. Example: DEBITURA_WRITES={word}",
            variable="DEBITURA_WRITES",
        )
