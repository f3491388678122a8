"""Deliveries from several threads at once while the receiver is killed, and what of them must be in the inbox.

`python -m tests.webhooks.loads [--kills 24] [--seconds 1]` plays many kills; `make test` plays three.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from debitura_pipeline.webhooks.segments import FOLDER, Received, read_entries, segments
from tests.support.forks import fork_server
from tests.webhooks.deliveries import PATH, RunningReceiver, event_body, signed

THREADS = 4


class Load:
    """Senders that deliver as fast as they are answered. `answered`: ids of events answered 200."""

    def __init__(self, port: int) -> None:
        self.answered: set[str] = set()
        self.sent = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(port,), daemon=True) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)

    def _send(self, port: int) -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            while not self._over.is_set():
                body = event_body()
                link.request("POST", PATH, body, {"X-Debitura-Signature": signed(body)})
                self.sent += 1
                answer = link.getresponse()
                answer.read()
                if answer.status == 200:
                    self.answered.add(json.loads(body)["id"])
        link.close()


def stored(data_dir: Path) -> set[str]:
    """Ids of all events in the inbox."""
    found = (entry for _, path in segments(data_dir / FOLDER) for entry, _ in read_entries(path))
    return {entry.id for entry in found if isinstance(entry, Received)}


def kill_in_mid_load(data_dir: Path, kills: int, seconds: float, seed: int = 1) -> tuple[set[str], int]:
    """Kill the receiver again and again while it is busy; ids answered 200 in all, and the number of deliveries sent."""
    draw, answered, sent = random.Random(seed), set[str](), 0
    for _ in range(kills):
        receiver = RunningReceiver(data_dir)
        load = Load(receiver.port)
        time.sleep(seconds * (0.3 + 0.7 * draw.random()))
        receiver.kill()
        load.stop()
        answered |= load.answered
        sent += load.sent
    RunningReceiver(data_dir).terminate()  # cuts what the last kill has torn
    return answered, sent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.webhooks.loads")
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="debitura-loads-") as folder:
        answered, sent = kill_in_mid_load(Path(folder) / "data", options.kills, options.seconds)
        lost = answered - stored(Path(folder) / "data")
    fork_server().close()
    sys.stdout.write(
        f"{options.kills} kills, {sent} deliveries sent, {len(answered)} answered 200, {len(lost)} of them lost\n"
    )
    raise SystemExit(1 if lost or not answered else 0)


if __name__ == "__main__":
    main()
