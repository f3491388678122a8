"""Run all checks in parallel threads with a common deadline, so that `doctor` ends within ten seconds whatever a server does.

A check that fails unexpectedly is reported like any other fault.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from debitura_pipeline.doctor import (
    alerts,
    api,
    dagster,
    folders,
    identity,
    machine,
    receiver,
    roles,
    runs,
    shared_store,
    sources,
    versions,
    warehouse,
    workers,
)
from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, from_exception, passed
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import describe_warehouse

WITHIN_S = 7.5  # starting Python takes the rest of the ten seconds


@dataclass(frozen=True)
class Check:
    """A named check. `where`: what it waits for, for the message when it does not end in time."""

    what: str
    examine: Callable[[Settings], Iterator[Diagnosis]]
    where: Callable[[Settings], str]


def _settings(_: Settings) -> Iterator[Diagnosis]:
    """Wrong settings end every command before this check runs."""
    yield passed("settings", "valid")


CHECKS = (
    Check("Python", versions.examine, lambda _: "the installed packages"),
    Check("settings", _settings, lambda _: "the settings"),
    Check("machine", machine.examine, lambda _: "the system"),
    Check("folders", folders.examine, lambda settings: f"{settings.data_dir} or {settings.dagster_home}"),
    Check("run", runs.examine, lambda settings: str(settings.dagster_home)),
    Check("Dagster", dagster.examine, dagster.storage_target),
    Check("workers", workers.examine, workers.target),
    Check("privacy key", identity.examine_key, lambda settings: str(settings.data_dir)),
    Check("warehouse", warehouse.examine, describe_warehouse),
    Check("roles", roles.examine, describe_warehouse),
    Check("identity", identity.examine, describe_warehouse),
    Check("shared store", shared_store.examine, shared_store.where),
    Check("sources", sources.examine, lambda _: "the roster or the claims"),
    Check("receiver", receiver.examine, lambda settings: f"the receiver of {settings.data_dir}"),
    Check("API", api.examine, api.api_target),
    Check("alerts", alerts.examine, lambda _: "the library Apprise"),
    Check("Customer API", api.examine_customer, lambda settings: settings.customer_api_url or "no address"),
)


def examine(
    settings: Settings,
    checks: tuple[Check, ...] = CHECKS,
    *,
    within_s: float = WITHIN_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Diagnosis]:
    """Run all checks and yield their results in a fixed order, each as soon as it and those before it are known."""
    give_up_at = clock() + within_s
    running = [(check, _started(check, settings)) for check in checks]
    for check, found in running:
        try:
            while (diagnosis := found.get(timeout=max(give_up_at - clock(), 0.05))) is not None:
                yield diagnosis
        except queue.Empty:
            where = check.where(settings)
            yield failed(
                check.what,
                f"no answer from {where} within {within_s:.0f} s.",
                "Check that it is up and reachable; a firewall or a hung network drive can cause this.",
            )


def _started(check: Check, settings: Settings) -> queue.SimpleQueue[Diagnosis | None]:
    """Start a thread that runs the check. It puts the results into the returned queue, and None at the end."""
    found: queue.SimpleQueue[Diagnosis | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            for diagnosis in check.examine(settings):
                found.put(diagnosis)
        except Exception as error:  # noqa: BLE001 - the other checks must still be reported
            found.put(from_exception(check.what, error, settings))
        finally:
            found.put(None)

    # Daemon threads: the process must not wait for a check that hangs in a system call.
    try:
        threading.Thread(target=run, name=f"doctor: {check.what}", daemon=True).start()
    except RuntimeError:  # not enough memory for another thread: run the check in this one
        run()
    return found
