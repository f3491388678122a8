"""`python -m debitura_pipeline.incidents.sender`: hands messages to Apprise, in a process of its own.

A service that hangs is ended with the process, and whatever Apprise or a plugin writes about an address is discarded. Reads one
JSON document from standard input and writes JSON lines: numbers of message and address, and null when an attempt begins, then
whether it worked. Each address has a thread, so that a slow service does not keep messages from the others.
"""

from __future__ import annotations

import json
import logging
import os
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

MAX_FAILURES = 3  # in a row for one address: the rest of its messages waits for the next time
# Apprise's own 4 s is short for a service that is busy. One that takes a message after that gets it again and again.
READ_TIMEOUT_S = 30.0


def main() -> None:
    """Send the messages, or only check the addresses if there are none."""
    logging.disable(logging.CRITICAL)
    asked = json.load(sys.stdin)
    with tempfile.TemporaryDirectory(prefix="debitura-alerts-") as folder:
        if asked["ca_file"]:
            _trust_also(Path(asked["ca_file"]), Path(folder) / "trusted.pem")
        _answer(asked)


def _answer(asked: dict[str, Any]) -> None:
    import apprise  # noqa: PLC0415 - a third of a second, and after the certificates are set

    services = [_service(apprise, url) for url in asked["urls"]]
    if not asked["messages"]:
        for number, service in enumerate(services):
            _say(0, number, service is not None)
    until = time.monotonic() + asked["within_s"]
    threads = [
        threading.Thread(target=_send_to, args=(service, number, asked["messages"], until, apprise))
        for number, service in enumerate(services)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send_to(service: Any, number: int, messages: list[dict[str, Any]], until: float, apprise: Any) -> None:
    """Send an address its messages, in order. After the first, none that the service may still be taking when time is up: whether
    it did would not be known. Those wait for the next time, also for a service that works but is slow."""
    failures = 0
    for place, index in enumerate(index for index, message in enumerate(messages) if number in message["to"]):
        is_late = place > 0 and time.monotonic() + _timeout_s(service) > until
        if is_late and not failures:
            return
        if service is None or is_late or failures >= MAX_FAILURES:
            _say(index, number, False)
            continue
        _say(index, number, None)
        is_sent = _is_sent(service, messages[index], apprise)
        failures = 0 if is_sent else failures + 1
        _say(index, number, is_sent)


def _timeout_s(service: Any) -> float:
    return float(sum(one.socket_connect_timeout + one.socket_read_timeout for one in service or ()))


def _service(apprise: Any, url: str) -> Any:
    """The service behind an address, which may take READ_TIMEOUT_S unless the address has another `rto`; None if Apprise knows
    none."""
    in_memory = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY)  # tokens stay off the disk
    service = apprise.Apprise(asset=in_memory)
    try:
        if not service.add(url) or len(service) != 1:
            return None
        if "socket_read_timeout" not in vars(service[0]):  # the address has no `rto`
            service[0].socket_read_timeout = max(service[0].socket_read_timeout, READ_TIMEOUT_S)
        return service
    except Exception:  # noqa: BLE001 - a plugin's own fault is a wrong address here
        return None


def _is_sent(service: Any, message: dict[str, Any], apprise: Any) -> bool:
    words = {"title": message["title"], "body": message["body"], "notify_type": message["type"]}
    try:
        return bool(service.notify(**words, body_format=apprise.NotifyFormat.TEXT))
    except Exception:  # noqa: BLE001 - as above
        return False


def _trust_also(ca_file: Path, bundle: Path) -> None:
    """Let `requests` and SMTP trust the system's certificates and those of `ca_file`: they take one file."""
    known = ssl.create_default_context().get_ca_certs(binary_form=True)
    texts = [ssl.DER_cert_to_PEM_cert(certificate) for certificate in known]
    bundle.write_text("\n".join([*texts, ca_file.read_text()]))
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = str(bundle)


def _say(message: int, url: int, is_ok: bool | None) -> None:
    os.write(1, json.dumps([message, url, is_ok]).encode() + b"\n")


if __name__ == "__main__":
    main()
