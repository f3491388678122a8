"""All checks, side by side, each in its own thread: whatever a server does, the answer is there within ten seconds.

Belongs here: the order of the lines, the time that each check has. Does not: a check. A check that fails in a way that nobody
thought of is a line like any other.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from debitura_pipeline.doctor import api, dagster, folders, identity, machine, roles, runs, versions, warehouse
from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, of_surprise, well
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import describe_warehouse

WITHIN_S = 7.5  # of the ten that the command takes at most, the rest is starting Python


@dataclass(frozen=True)
class Check:
    """`where`: what it waits for, should it not end in time."""

    what: str
    look: Callable[[Settings], Iterator[Diagnosis]]
    where: Callable[[Settings], str]


def _settings(_: Settings) -> Iterator[Diagnosis]:
    """They were read before there was anything to examine; a wrong one ends every command."""
    yield well("settings", "read and checked")


CHECKS = (
    Check("Python", versions.examine, lambda _: "the installed packages"),
    Check("settings", _settings, lambda _: "the settings"),
    Check("machine", machine.examine, lambda _: "the system"),
    Check("folders", folders.examine, lambda settings: f"{settings.data_dir} or {settings.dagster_home}"),
    Check("run", runs.examine, lambda settings: str(settings.dagster_home)),
    Check("Dagster", dagster.examine, dagster.described),
    Check("privacy key", identity.examine_key, lambda settings: str(settings.data_dir)),
    Check("warehouse", warehouse.examine, describe_warehouse),
    Check("roles", roles.examine, describe_warehouse),
    Check("identity", identity.examine, describe_warehouse),
    Check("API", api.examine, api.described),
    Check("Customer API", api.examine_customer, lambda settings: settings.customer_api_url or "no address"),
)


def examine(
    settings: Settings,
    checks: tuple[Check, ...] = CHECKS,
    *,
    within_s: float = WITHIN_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Diagnosis]:
    """What all checks have found, in a fixed order, each as soon as it and those before it are known."""
    give_up_at = clock() + within_s
    looking = [(check, _started(check, settings)) for check in checks]
    for check, found in looking:
        try:
            while (diagnosis := found.get(timeout=max(give_up_at - clock(), 0.05))) is not None:
                yield diagnosis
        except queue.Empty:
            where = check.where(settings)
            yield bad(
                check.what,
                f"no answer from {where} within {within_s:.0f} s.",
                "Check that it is up and reachable; a server behind a firewall or a hung network drive stays silent like that.",
            )


def _started(check: Check, settings: Settings) -> queue.SimpleQueue[Diagnosis | None]:
    """The queue into which a thread puts what the check finds, and None at the end."""
    found: queue.SimpleQueue[Diagnosis | None] = queue.SimpleQueue()

    def look() -> None:
        try:
            for diagnosis in check.look(settings):
                found.put(diagnosis)
        except Exception as error:  # noqa: BLE001 - the other checks still have something to say
            found.put(of_surprise(check.what, error, settings))
        finally:
            found.put(None)

    # Nobody waits for one that hangs in a call to the system.
    try:
        threading.Thread(target=look, name=f"doctor: {check.what}", daemon=True).start()
    except RuntimeError:  # there is too little memory for one more: one after the other, then
        look()
    return found
