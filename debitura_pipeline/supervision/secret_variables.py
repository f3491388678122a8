"""Hand a partner's variables to the process that works for that partner, through a socket of `debitura dev`.

Dagster starts runs from the code server, which has no secret in its environment. The socket is in a private folder, and answers
this user's processes only.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from debitura_pipeline.settings.partner_choice import MAX_NAME_BYTES

ANSWER_WITHIN_S = 1.0  # a client asks as soon as it is connected, and others wait meanwhile
PAUSE_S = 0.2
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


@contextmanager
def variables_served(path: Path, variables_of: Callable[[str], Mapping[str, str]]) -> Iterator[None]:
    """Answer at `path` during the block. `variables_of`: those that the table of a partner names."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as server:
        server.bind(str(path))
        path.chmod(0o600)
        server.listen()
        is_over = threading.Event()
        arguments = (server, variables_of, is_over)
        threading.Thread(target=_serve, args=arguments, name="secret variables", daemon=True).start()
        try:
            yield
        finally:
            is_over.set()
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # ends the thread


def _serve(server: socket.socket, variables_of: Callable[[str], Mapping[str, str]], is_over: threading.Event) -> None:
    while not is_over.is_set():
        try:
            client, _ = server.accept()
        except OSError:  # too many open files, or a client that went away
            is_over.wait(PAUSE_S)
            continue
        with closing(client), suppress(Exception):  # whoever asked says what is missing
            client.settimeout(ANSWER_WITHIN_S)
            if _user_of(client) == os.getuid():
                name = client.recv(MAX_NAME_BYTES).decode().strip()
                client.sendall(json.dumps(dict(variables_of(name))).encode())


def _user_of(client: socket.socket) -> int:
    found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1])
