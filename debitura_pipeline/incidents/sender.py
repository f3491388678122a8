"""`python -m debitura_pipeline.incidents.sender`: hands messages to Apprise, in a process of its own.

A service that hangs is ended with the process, and whatever Apprise or a plugin writes about an address is discarded. Reads one
JSON document from standard input and writes one JSON line per attempt: numbers of message and address, and whether it worked.
"""

from __future__ import annotations

import json
import logging
import os
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

MAX_FAILURES = 3  # in a row for one address: the rest of its messages waits for the next time


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
    for number, service in enumerate(services if not asked["messages"] else ()):
        _say(0, number, service is not None)
    failures = [0] * len(services)
    for index, message in enumerate(asked["messages"]):
        for number in message["to"]:
            service = services[number]
            if service is None or failures[number] >= MAX_FAILURES:
                _say(index, number, False)
                continue
            is_sent = _is_sent(service, message, apprise)
            failures[number] = 0 if is_sent else failures[number] + 1
            _say(index, number, is_sent)


def _service(apprise: Any, url: str) -> Any:
    """The service behind an address; None if Apprise knows none."""
    in_memory = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY)  # tokens stay off the disk
    service = apprise.Apprise(asset=in_memory)
    try:
        return service if service.add(url) and len(service) == 1 else None
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


def _say(message: int, url: int, is_ok: bool) -> None:
    os.write(1, json.dumps([message, url, is_ok]).encode() + b"\n")


if __name__ == "__main__":
    main()
