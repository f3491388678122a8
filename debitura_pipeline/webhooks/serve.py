"""Run the receiver under uvicorn until a signal arrives. Also runs as `python -m debitura_pipeline.webhooks.serve PORT`."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import uvicorn

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.errors import DebituraError, SettingsError
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.identity import check_privacy_key
from debitura_pipeline.warehouse.run_lock import restore_marker
from debitura_pipeline.webhooks.group_commit import GroupCommit
from debitura_pipeline.webhooks.http_protocol import LimitedProtocol
from debitura_pipeline.webhooks.inbox import Inbox
from debitura_pipeline.webhooks.receiver import PATH, Receiver
from debitura_pipeline.webhooks.signature import SignatureVerifier
from debitura_pipeline.webhooks.stale import StaleDeliveries

HOST, PORT = "127.0.0.1", 8480
KEEP_ALIVE_S = 30  # a proxy reuses its connections
DRAIN_S = 4  # for deliveries in progress when a signal arrives


class ReceiverError(DebituraError):
    """The receiver cannot be started."""


class ReceiverServer(uvicorn.Server):
    """Uvicorn's server of a receiver. It also ends if the inbox is gone: a new process takes the one that is there then."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(config_of(receiver))
        self._receiver = receiver

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; uvicorn asks ten times a second."""
        return self._receiver.fault is not None or await super().on_tick(counter)


def require_secrets(settings: Settings) -> None:
    """Raises SettingsError if there is no secret that deliveries could be verified with."""
    if not settings.webhooks.secrets:
        raise SettingsError(
            "DEBITURA_WEBHOOK_SECRETS is not set, so no delivery could be verified. `debitura webhooks subscribe` prints the "
            "secret of a new subscription. Example: DEBITURA_WEBHOOK_SECRETS=d2hzZWMtZXhhbXBsZS1vbmx5LTAwMDE=",
            variable="DEBITURA_WEBHOOK_SECRETS",
        )


def run_receiver(settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; deliveries in progress are stored and answered first.

    `say`: called with one line once it listens. Raises SettingsError without secrets, ReceiverError if the address is in use or
    the inbox cannot be written, WarehouseBusy if another receiver has the inbox, IdentityRefused if the
    data directory's privacy key is lost, and InboxReplaced, after it has ended in good order, if the inbox was moved or deleted.
    """
    require_secrets(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    fault = check_privacy_key(settings)
    listener = listen(host, port)
    try:
        receiver, inbox = make_receiver(settings, Runtime().now, _url_of(listener))
    except BaseException:
        listener.close()
        raise
    if (
        fault is not None
    ):  # events are not refused for it: only tenants that contain contact data are stored under another name
        say(f"{fault} Events of clients whose tenant ID contains contact data will match no client.")
    if inbox.torn_bytes:
        say(
            f"Cut {inbox.torn_bytes} bytes behind the last event of the inbox, as an interrupted write leaves them. If nothing was "
            "interrupted, the disk is damaged: run `debitura nightly`, which reads whatever they were about."
        )
    if inbox.damaged_bytes:
        say(
            f"The inbox {inbox.folder} is damaged: {inbox.damaged_bytes} bytes in it can no longer be read. The events before and "
            "after them are kept. If the power did not fail, check the disk; `debitura nightly` reads whatever they were about."
        )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal once more after its own shutdown
    say(f"Receiving webhooks at {_url_of(listener)}{PATH}. Inbox: {inbox.folder}, {len(inbox.known)} known events.")
    ReceiverServer(receiver).run(sockets=[listener])
    if receiver.fault is not None:
        raise receiver.fault


def make_receiver(
    settings: Settings, now: Callable[[], datetime], address: str | None = None
) -> tuple[Receiver, Inbox]:
    """The receiver of a data directory, which holds its inbox. `address`: the URL at which it listens, for `doctor`.

    Raises ReceiverError if the inbox cannot be used or a restore was interrupted, WarehouseBusy if another receiver has it.
    """
    if restore_marker(settings).exists():
        raise ReceiverError(
            f"A restore into the data directory {settings.data_dir} was interrupted. Run `debitura restore FILE` again first."
        )
    stored = BusinessKeys.from_settings(settings).stored
    try:
        inbox = Inbox(settings.data_dir, now(), address)
    except OSError as error:
        folder = Path(error.filename or settings.data_dir)
        raise ReceiverError(f"The inbox cannot be used: {folder}: {error.strerror}.") from None
    verifier = SignatureVerifier(settings.webhooks.secrets, settings.webhooks.tolerance_s)
    stale = StaleDeliveries(inbox.folder)
    return Receiver(verifier, GroupCommit(inbox, now), stored, now, stale.note), inbox


def config_of(receiver: Receiver) -> uvicorn.Config:
    """Uvicorn's configuration: no log, which could hold what a sender wrote, and no headers that name software."""
    return uvicorn.Config(
        receiver,
        http=LimitedProtocol,
        loop="uvloop",
        lifespan="on",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ReceiverError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(256)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ReceiverError(
            f"The receiver cannot listen on {host}, port {port}: {error.strerror}. Choose others with --host and --port."
        ) from None
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    try:
        run_receiver(load_settings(), HOST, int(sys.argv[1]), print)
    except DebituraError as error:
        sys.exit(str(error))
