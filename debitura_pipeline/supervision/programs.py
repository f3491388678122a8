"""Dagster's three programs as `debitura dev` runs them: their command lines, and how each is seen to work."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from dagster._grpc.client import DagsterGrpcClient

from debitura_pipeline.settings import PROJECT_ROOT
from debitura_pipeline.supervision.child import Program
from debitura_pipeline.supervision.supervisor import DevError

HOST, PORT = "127.0.0.1", 3000
CODE_SERVER, DAEMON, WEB_SERVER = "code server", "daemon", "web server"
MODULE, LOCATION = "debitura_pipeline.definitions", "debitura"  # as workspace.yaml has them
ASK_S = 5  # patience with one answer
# A machine that is busy for half a minute is no reason to kill anything.
CODE_SERVER_SILENT_S, WEB_SERVER_SILENT_S = 30.0, 60.0
DAEMON_SILENT_S = 300.0  # it writes its heartbeat every half minute, between its other work
HEARTBEAT_FRESH_S = 90.0
QUIET = ("--log-level", "warning")


class Programs:
    """`folder` is private: the code server's socket is in it, and the workspace file that names the socket."""

    def __init__(self, folder: Path, port: int, instance: dg.DagsterInstance, say: Callable[[str], None]) -> None:
        self._port, self._instance, self._say = port, instance, say
        self._socket, self._workspace = folder / "code-server", folder / "workspace.yaml"
        server = {"grpc_server": {"socket": str(self._socket), "location_name": LOCATION}}
        self._workspace.write_text(json.dumps({"load_from": [server]}))  # JSON is YAML

    def code_server(self) -> Program:
        arguments = ["dagster", "api", "grpc", "--socket", str(self._socket), "--module-name", MODULE]
        arguments += ["--working-directory", str(PROJECT_ROOT), "--location-name", LOCATION, *QUIET]
        client = DagsterGrpcClient(socket=str(self._socket))

        def answers() -> bool:
            return bool(client.get_server_id(timeout=ASK_S))

        # What a killed one has left of its socket.
        return Program(
            CODE_SERVER, arguments, answers, CODE_SERVER_SILENT_S, before=lambda: self._socket.unlink(missing_ok=True)
        )

    def daemon(self) -> Program:
        arguments = ["dagster._daemon", "run", "--workspace", str(self._workspace), *QUIET]

        def answers() -> bool:
            beats = self._instance.get_daemon_heartbeats().values()
            return any(time.time() - beat.timestamp < HEARTBEAT_FRESH_S for beat in beats)

        return Program(DAEMON, arguments, answers, DAEMON_SILENT_S, self._tell(DAEMON))

    def web_server(self) -> Program:
        arguments = [
            "dagster_webserver",
            "--workspace",
            str(self._workspace),
            "--host",
            HOST,
            "--port",
            str(self._port),
        ]
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on loopback

        def answers() -> bool:
            with direct.open(f"http://{HOST}:{self._port}/server_info", timeout=ASK_S):
                return True

        return Program(
            WEB_SERVER,
            [*arguments, "--dagster-log-level", "warning"],
            answers,
            WEB_SERVER_SILENT_S,
            self._tell(WEB_SERVER),
        )

    def _tell(self, name: str) -> Callable[[str], None]:
        return lambda line: self._say(f"{name}: {line}")


def choose_port(wanted: int | None, say: Callable[[str], None]) -> int:
    """The port of the web page: `wanted`, else PORT, else a free one. Raises DevError where `wanted` is taken."""
    if wanted is not None:
        if not _is_free(wanted):
            raise DevError(
                f"Port {wanted} of {HOST} is taken. Choose another one with --port, or none for any free one."
            )
        return wanted
    if _is_free(PORT):
        return PORT
    port = free_port()
    say(f"Port {PORT} is taken; the web page will be at port {port}.")
    return port


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are closing do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
