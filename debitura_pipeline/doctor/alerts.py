"""Check that Apprise knows the addresses of DEBITURA_ALERTS. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.incidents.delivery import name_of, unknown_to_apprise
from debitura_pipeline.settings import Settings

CURE = "Correct it in DEBITURA_ALERTS; the Apprise documentation has the form of each service's URL."


WITHIN_S = 6.0  # somebody is waiting


def examine(settings: Settings, within_s: float = WITHIN_S) -> Iterator[Diagnosis]:
    """Check each address; nothing where none is set."""
    count = len(settings.alerts.urls)
    if not count:
        return
    unknown = unknown_to_apprise(settings, within_s)
    if unknown is None:
        seen = f"the library Apprise did not say within {within_s:.0f} s whether the addresses are valid."
        yield failed("alerts", seen, "Try again when the machine is less busy; if that does not help, `make setup`.")
        return
    for target in unknown:
        yield failed("alerts", f"{name_of(settings, target)} is no URL that Apprise can use.", CURE)
    if not unknown:
        are = "address is" if count == 1 else "addresses are"
        yield passed("alerts", f"{count} {are} valid; `debitura doctor --alert-test` sends a message")
