"""What can be wrong with the receiver of webhooks: it is missing, hangs, or cannot store events."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.doctor.case import Case, Scene, env
from tests.webhooks.deliveries import SECRET, RunningReceiver, event_body

SET = {"DEBITURA_WEBHOOK_SECRETS": SECRET}


def _running(change: Callable[[RunningReceiver, Path], None]) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.env.update(SET)
        receiver = RunningReceiver(scene.data)
        scene.stack.callback(receiver.kill)
        change(receiver, scene.data)

    return make


def _hang(receiver: RunningReceiver, _: Path) -> None:
    os.kill(receiver.pid, signal.SIGSTOP)


def _make_unwritable(receiver: RunningReceiver, data: Path) -> None:
    """A file that no event can be added to has the name of the next segment."""
    (data / "inbox" / "0000000001.segment").touch()
    assert receiver.post(event_body()) == 503


CASES = [
    Case(
        "no receiver of webhooks runs here",
        env(**SET),
        "receiver",
        "^DEBITURA_WEBHOOK_SECRETS is set, but no receiver runs on this data directory",
        "",
        is_ok=True,
    ),
    Case(
        "a receiver that runs",
        _running(lambda *_: None),
        "receiver",
        r"^running: process \d+, answers at http://127\.0\.0\.1:\d+$",
        "",
        is_ok=True,
    ),
    Case(
        "a receiver that hangs",
        _running(_hang),
        "receiver",
        r"^process \d+ is running, but does not answer at http://127\.0\.0\.1:\d+ within 3 s\.$",
        "^End that process, .* start it again",
    ),
    Case(
        "a receiver that cannot store events",
        _running(_make_unwritable),
        "receiver",
        r"^process \d+ cannot store events \(File exists\) and answers 503\.$",
        "Check the disk",
    ),
]
