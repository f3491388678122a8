"""Check that Apprise knows the addresses of DEBITURA_ALERTS. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.incidents.delivery import name_of, unknown_to_apprise
from debitura_pipeline.settings import Settings

CURE = "Correct it in DEBITURA_ALERTS; the Apprise documentation has the form of each service's URL."


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check each address; nothing where none is set."""
    count = len(settings.alerts.urls)
    if not count:
        return
    unknown = unknown_to_apprise(settings)
    if unknown is None:
        yield failed("alerts", "Apprise could not be asked about the addresses.", "Run `make setup`.")
        return
    for target in unknown:
        yield failed("alerts", f"{name_of(settings, target)} is no URL that Apprise can use.", CURE)
    if not unknown:
        are = "address is" if count == 1 else "addresses are"
        yield passed("alerts", f"{count} {are} valid; `debitura doctor --alert-test` sends a message")
