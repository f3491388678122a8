"""A Redis server of a test's own, with a password, on its own port and folder; gone afterwards."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

PASSWORD = "pw-of-redis-5ab1"
READY_WITHIN_S = 20.0
NOT_INSTALLED = "redis-server is not installed (apt-get install redis-server)"


@dataclass(frozen=True)
class RedisServer:
    """`url` holds the password. `client`: for looking at what it has."""

    url: str
    client: redis.Redis


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Start one; skips the test where Redis is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip(NOT_INSTALLED)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "redis.conf"
    config.write_text(f'port {port}\nbind 127.0.0.1\nrequirepass {PASSWORD}\nsave ""\ndir {folder}\n')
    process = subprocess.Popen(["redis-server", config], stdout=subprocess.DEVNULL)
    try:
        with closing(redis.Redis(port=port, password=PASSWORD, socket_timeout=120)) as client:
            _wait(client)
            yield RedisServer(f"redis://:{PASSWORD}@127.0.0.1:{port}/0", client)
    finally:
        process.kill()
        process.wait()


def monitored(server: RedisServer) -> tuple[list[str], threading.Thread]:
    """Everything that is sent to Redis from now on, but for passwords, which it never shows; `SET over` ends the thread."""
    seen, ready = list[str](), threading.Event()

    def listen() -> None:
        with server.client.monitor() as monitor:
            ready.set()
            for command in monitor.listen():
                seen.append(command["command"])
                if command["command"].startswith("SET over"):
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert ready.wait(10)
    return seen, thread


def _wait(client: redis.Redis) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        with suppress(redis.exceptions.ConnectionError):
            client.ping()
            return
        time.sleep(0.02)
    raise RuntimeError("Redis did not start")
