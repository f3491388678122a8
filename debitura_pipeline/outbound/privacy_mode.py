"""Refuse to go on from records whose keys were stored in another privacy mode: their rows would seem to be new ones."""

from __future__ import annotations

from collections.abc import Iterable

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.landing.business_key import contains_contact, is_pseudonym
from debitura_pipeline.plural import counted
from debitura_pipeline.settings import Settings


def check_privacy_mode(settings: Settings, table: str, keys: Iterable[tuple[str, ...]]) -> None:
    """`keys`: of the records of `table`, each with its parts as stored.

    Only keys with contact data are stored differently in the two modes. Raises SettingsError if there is one of the other mode.
    """
    is_full = settings.privacy == "full"
    is_of_other_mode = is_pseudonym if is_full else contains_contact
    if not (others := sum(any(map(is_of_other_mode, key)) for key in keys)):
        return
    before = "pseudonymous" if is_full else "full"
    raise SettingsError(
        f"ops.{table} has {counted(others, 'record')} whose tenant id or reference was stored while DEBITURA_PRIVACY was {before}. "
        "Their rows cannot be recognised now, and might be sent a second time, so nothing was sent. "
        f"Use DEBITURA_PRIVACY={before} for clients and cases.",
        variable="DEBITURA_PRIVACY",
    )
