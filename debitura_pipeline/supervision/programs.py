"""Dagster's three programs and the webhook receiver as `debitura dev` runs them: command lines and health probes."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from dagster._grpc.client import DagsterGrpcClient

from debitura_pipeline.settings import PROJECT_ROOT, Settings
from debitura_pipeline.settings.partner_choice import SOCKET
from debitura_pipeline.supervision.child import Program
from debitura_pipeline.supervision.lookout_beat import is_beating
from debitura_pipeline.supervision.supervisor import DevError
from debitura_pipeline.webhooks import serve
from debitura_pipeline.webhooks.inbox import receiver_lock
from debitura_pipeline.webhooks.receiver import HEALTH, PATH

HOST, PORT = "127.0.0.1", 3000
CODE_SERVER, DAEMON, WEB_SERVER = "code server", "daemon", "web server"
RECEIVER, LOOKOUT = "receiver", "lookout"
LOOKOUT_MODULE = "debitura_pipeline.partners.lookout"  # by name: it belongs to a higher layer
MODULE, LOCATION = "debitura_pipeline.definitions", "debitura"  # as workspace.yaml has them
PROBE_TIMEOUT_S = 5
# A program must not be killed because the machine is busy for half a minute.
CODE_SERVER_SILENT_S, WEB_SERVER_SILENT_S = 30.0, 60.0
DAEMON_SILENT_S = 300.0  # it writes its heartbeat every half minute, between its other work
HEARTBEAT_FRESH_S = 90.0
QUIET = ("--log-level", "warning")


class Programs:
    """The programs of one `debitura dev`. `folder`: private, holds the code server's socket and the workspace file. `secrets`:
    the socket at which processes that work for a partner ask for its variables."""

    def __init__(
        self,
        folder: Path,
        port: int,
        instance: dg.DagsterInstance,
        say: Callable[[str], None],
        secrets: Path | None = None,
    ) -> None:
        self._port, self._instance, self._say = port, instance, say
        self._secrets = {} if secrets is None else {SOCKET: str(secrets)}
        self._socket, self._workspace = folder / "code-server", folder / "workspace.yaml"
        server = {"grpc_server": {"socket": str(self._socket), "location_name": LOCATION}}
        self._workspace.write_text(json.dumps({"load_from": [server]}))  # JSON is YAML

    def code_server(self) -> Program:
        """The gRPC server that loads the project's definitions."""
        arguments = ["dagster", "api", "grpc", "--socket", str(self._socket), "--module-name", MODULE]
        arguments += ["--working-directory", str(PROJECT_ROOT), "--location-name", LOCATION, *QUIET]
        client = DagsterGrpcClient(socket=str(self._socket))

        def is_healthy() -> bool:
            return bool(client.get_server_id(timeout=PROBE_TIMEOUT_S))

        def remove_socket() -> None:  # a killed server leaves it behind
            self._socket.unlink(missing_ok=True)

        return Program(
            CODE_SERVER, arguments, is_healthy, CODE_SERVER_SILENT_S, before=remove_socket, env=self._secrets
        )

    def daemon(self) -> Program:
        """Dagster's daemon: schedules, sensors, run queue."""
        arguments = ["dagster._daemon", "run", "--workspace", str(self._workspace), *QUIET]

        def is_healthy() -> bool:
            beats = self._instance.get_daemon_heartbeats().values()
            return any(time.time() - beat.timestamp < HEARTBEAT_FRESH_S for beat in beats)

        return Program(DAEMON, arguments, is_healthy, DAEMON_SILENT_S, self._report_as(DAEMON))

    def web_server(self) -> Program:
        """Dagster's web interface."""
        arguments = [
            "dagster_webserver",
            "--workspace",
            str(self._workspace),
            "--host",
            HOST,
            "--port",
            str(self._port),
        ]
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never use a proxy for loopback

        def is_healthy() -> bool:
            with direct.open(f"http://{HOST}:{self._port}/server_info", timeout=PROBE_TIMEOUT_S):
                return True

        return Program(
            WEB_SERVER,
            [*arguments, "--dagster-log-level", "warning"],
            is_healthy,
            WEB_SERVER_SILENT_S,
            self._report_as(WEB_SERVER),
        )

    def lookout(self, settings: Settings) -> Program:
        """What looks for all partners between their runs."""
        return Program(
            LOOKOUT, [LOOKOUT_MODULE], lambda: is_beating(settings.data_dir), WEB_SERVER_SILENT_S, env=self._secrets
        )

    def receiver(self, settings: Settings) -> Program | None:
        """The receiver of webhooks; None without secrets, or if another one has the inbox, as under systemd."""
        if not settings.webhooks.secrets:
            return None
        holder = receiver_lock(settings.data_dir).holder()
        if holder is not None:
            self._say(f"Another receiver of webhooks is running ({holder}); none is started.")
            return None
        port = serve.PORT if _is_free(serve.PORT) else free_port()
        self._say(f"Webhooks are received at http://{serve.HOST}:{port}{PATH}")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def is_healthy() -> bool:
            try:
                with direct.open(f"http://{serve.HOST}:{port}{HEALTH}", timeout=PROBE_TIMEOUT_S):
                    return True
            except urllib.error.HTTPError as answer:  # a full disk is not mended by a restart
                answer.close()
                return True

        return Program(RECEIVER, [serve.__name__, str(port)], is_healthy, WEB_SERVER_SILENT_S)

    def _report_as(self, name: str) -> Callable[[str], None]:
        return lambda line: self._say(f"{name}: {line}")


def choose_port(wanted: int | None, say: Callable[[str], None]) -> int:
    """The port of the web interface: `wanted`, else PORT, else any free one. Raises DevError if `wanted` is in use."""
    if wanted is not None:
        if not _is_free(wanted):
            raise DevError(
                f"Port {wanted} on {HOST} is in use. Choose another one with --port, or omit it to use a free one."
            )
        return wanted
    if _is_free(PORT):
        return PORT
    port = free_port()
    say(f"Port {PORT} is in use; the web interface will be on port {port}.")
    return port


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
