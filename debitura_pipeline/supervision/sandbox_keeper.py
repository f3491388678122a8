"""Restart the embedded sandbox when it dies while `debitura dev` uses it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from debitura_pipeline.settings import Endpoint
from debitura_pipeline.supervision.supervisor import Supervisor
from debitura_sandbox.server import embedded

NAME = "sandbox"


class SandboxKeeper:
    """Call `check` periodically; it does not block. The supervisor counts restarts, as for its own programs."""

    def __init__(self, data_dir: Path, endpoint: Endpoint, supervisor: Supervisor) -> None:
        self._data_dir, self._supervisor = data_dir, supervisor
        self._port = urlsplit(endpoint.base_url).port or 0
        self._due_at: float | None = None
        self._starting: threading.Thread | None = None
        self._fault: str | None = None

    def check(self) -> None:
        """Restart the sandbox if it has died. Raises DevError if it dies too often."""
        if self._starting is not None:
            if self._starting.is_alive():
                return
            self._starting = None
            self._notice(self._fault)
        if self._due_at is None:
            self._notice("has died" if embedded.is_gone(self._data_dir) else None)
        elif time.monotonic() >= self._due_at:
            self._due_at, self._fault = None, None
            self._starting = threading.Thread(target=self._start, name=NAME, daemon=True)
            self._starting.start()

    def _notice(self, fault: str | None) -> None:
        if fault is not None:
            self._due_at = time.monotonic() + self._supervisor.pause_for(NAME, fault)

    def _start(self) -> None:
        try:
            embedded.revive(self._data_dir, self._port)
        except (embedded.SandboxError, OSError) as error:
            self._fault = f"did not start ({error})"
