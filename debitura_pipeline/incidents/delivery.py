"""Deliver messages to the addresses of DEBITURA_ALERTS. No address is ever part of a message, a log line or an error."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from debitura_pipeline.proxies import Network
from debitura_pipeline.settings import Secret, Settings

WITHIN_S = 60.0
HASH_LENGTH = 16

# By the sender: message, address, and whether it worked; None when an attempt begins.
Said = tuple[int, int, bool | None]


@dataclass(frozen=True)
class Outgoing:
    """One message. `kind`: Apprise's: info, success, warning or failure. `targets`: hashes of addresses."""

    title: str
    body: str
    kind: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class DeliveryAttempts:
    """The addresses, as hashes, that have taken a message, and those at which that was tried."""

    delivered: frozenset[str] = frozenset()
    tried: frozenset[str] = frozenset()


def target_of(url: Secret) -> str:
    """A hash that tells addresses apart without naming one."""
    return hashlib.sha256(url.reveal().encode()).hexdigest()[:HASH_LENGTH]


def targets_of(settings: Settings) -> tuple[str, ...]:
    """The hashes of the addresses that are set."""
    return tuple(dict.fromkeys(map(target_of, settings.alerts.urls)))


def name_of(settings: Settings, target: str) -> str:
    """An address by its place in the setting and its scheme: `alert address 2 (slack://)`."""
    for number, url in enumerate(settings.alerts.urls, start=1):
        if target_of(url) == target:
            return f"alert address {number} ({urlsplit(url.reveal()).scheme}://)"
    return "an alert address"


def send(settings: Settings, messages: Sequence[Outgoing], *, within_s: float = WITHIN_S) -> list[DeliveryAttempts]:
    """What became of each message. Never raises; an attempt that has not ended in time has not worked.

    At an address whose services are slow, later messages may not have been tried yet.
    """
    if not messages or not settings.alerts.urls:
        return [DeliveryAttempts() for _ in messages]
    places = {target_of(url): number for number, url in enumerate(settings.alerts.urls)}
    asked = [
        {
            "title": message.title,
            "body": message.body,
            "type": message.kind,
            "to": [places[target] for target in message.targets if target in places],
        }
        for message in messages
    ]
    said = _ask(settings, asked, within_s)
    return [_attempts(message, index, places, said) for index, message in enumerate(messages)]


def _attempts(message: Outgoing, index: int, places: Mapping[str, int], said: Sequence[Said]) -> DeliveryAttempts:
    done = {number: is_ok for place, number, is_ok in said if place == index}
    return DeliveryAttempts(
        delivered=frozenset(target for target in message.targets if done.get(places.get(target, -1))),
        tried=frozenset(target for target in message.targets if places.get(target, -1) in done),
    )


def unknown_to_apprise(settings: Settings, within_s: float) -> list[str] | None:
    """The addresses that Apprise cannot use; None if it did not answer in time. Sends nothing."""
    targets = [target_of(url) for url in settings.alerts.urls]
    said = _ask(settings, [], within_s)
    if len(said) != len(targets):
        return None
    return [targets[number] for _, number, is_ok in said if not is_ok]


def _ask(settings: Settings, messages: Sequence[Mapping[str, object]], within_s: float) -> list[Said]:
    urls, ca_file = [url.reveal() for url in settings.alerts.urls], settings.network.ca_file
    asked = json.dumps({"urls": urls, "messages": messages, "ca_file": ca_file and str(ca_file), "within_s": within_s})
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "debitura_pipeline.incidents.sender"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(settings.network),
            start_new_session=True,  # the terminal's Ctrl-C is for the command
        )
    except OSError:
        return []
    with process:
        try:
            out, _ = process.communicate(asked, timeout=within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    return [tuple(json.loads(line)) for line in out.splitlines() if line.endswith("]")]


def _environment(network: Network) -> dict[str, str]:
    """This process's environment with the proxy of the settings, as the library `requests` reads it."""
    found = dict(os.environ)
    if (proxy := network.proxy) is not None:
        credentials = proxy.authorization.reveal().removeprefix("Basic ") if proxy.authorization else ""
        user, _, password = base64.b64decode(credentials).decode().partition(":")
        before = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
        found["HTTPS_PROXY"] = found["https_proxy"] = f"http{'s' * proxy.is_tls}://{before}{host}:{proxy.port}"
        found["NO_PROXY"] = found["no_proxy"] = ",".join(network.direct)
    return found
