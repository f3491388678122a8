"""Hosts of workers: network namespaces with host names of their own where the machine allows it, else this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.sandbox import ROOT

NAMED = "import socket, sys; socket.sethostname(sys.argv.pop(1)); from debitura_pipeline.cli.app import main; main()"
PLAIN = "import sys; sys.argv.pop(1); from debitura_pipeline.cli.app import main; main()"


class Host:
    """A host. `ports`: those of this machine that it reaches. Raises CalledProcessError where it cannot be made."""

    def __init__(self, number: int, ports: list[int], logs: Path, *, is_separate: bool) -> None:
        self.name = f"worker-{number}"
        self._space, self._net = f"deb{os.getpid()}w{number}", f"10.{77 + number}.{os.getpid() % 200}"
        self._is_separate, self._relays = is_separate, list[subprocess.Popen[bytes]]()
        if is_separate:
            self._make(f"v{os.getpid()}{number}"[-13:])
            numbers = [str(port) for port in ports]
            inside, outside = ["127.0.0.1", f"{self._net}.1"], [f"{self._net}.1", "127.0.0.1"]
            self._relay([], [*outside, *numbers], logs)
            self._relay(["ip", "netns", "exec", self._space], [*inside, *numbers], logs)

    def command(self, *arguments: str) -> list[str]:
        """`debitura …` there."""
        if not self._is_separate:
            return [sys.executable, "-c", PLAIN, self.name, *arguments]
        within = ["ip", "netns", "exec", self._space, "unshare", "--uts"]
        return [*within, sys.executable, "-c", NAMED, self.name, *arguments]

    def remove(self) -> None:
        """Its relays and namespace."""
        for relay in self._relays:
            relay.kill()
            relay.wait()
        if self._is_separate:
            subprocess.run(["ip", "netns", "del", self._space], check=False)

    def _make(self, link: str) -> None:
        run = ["ip", "netns", "exec", self._space, "ip"]
        for command in (
            ["ip", "netns", "add", self._space],
            ["ip", "link", "add", f"{link}a", "type", "veth", "peer", "name", f"{link}b", "netns", self._space],
            ["ip", "address", "add", f"{self._net}.1/24", "dev", f"{link}a"],
            ["ip", "link", "set", f"{link}a", "up"],
            [*run, "address", "add", f"{self._net}.2/24", "dev", f"{link}b"],
            [*run, "link", "set", f"{link}b", "up"],
            [*run, "link", "set", "lo", "up"],
        ):
            subprocess.run(command, check=True, capture_output=True)

    def _relay(self, before: list[str], arguments: list[str], logs: Path) -> None:
        command = [*before, sys.executable, "-m", "tests.cluster.relay", *arguments]
        with (logs / "relays.log").open("ab") as log:
            relay = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        self._relays.append(relay)
        if relay.stdout is None or not relay.stdout.readline():
            raise RuntimeError(f"the relay of {self.name} did not start")


def may_separate() -> bool:
    """Whether this machine lets us make network namespaces."""
    name = f"deb{os.getpid()}probe"
    with suppress(OSError):
        made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode == 0
        if made:
            subprocess.run(["ip", "netns", "del", name], check=False)
        return made
    return False
