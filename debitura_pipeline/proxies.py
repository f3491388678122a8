"""Which proxy a host is reached through, and which certificate authorities are trusted beside the usual ones.

Belongs here: DEBITURA_PROXY, the usual HTTPS_PROXY, ALL_PROXY and NO_PROXY, and their checks. Does not: connections. HTTP_PROXY
plays no part: plain http is spoken on loopback alone, and that is never asked of a proxy.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.secret import Secret

OWN = "DEBITURA_PROXY"
USUAL = (
    "HTTPS_PROXY",
    "ALL_PROXY",
)  # in the order in which they are asked; the lower-case name comes first, as in curl
PORTS = {"http": 80, "https": 443}
EXAMPLE = "http://proxy.example.com:3128"

_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")


@dataclass(frozen=True)
class Proxy:
    """A proxy that is asked to CONNECT. `is_tls`: spoken to over TLS itself. `authorization`: the value of
    Proxy-Authorization. `variable`: where it was set."""

    host: str
    port: int
    is_tls: bool
    authorization: Secret | None
    variable: str


@dataclass(frozen=True)
class Network:
    """The way out. `direct`: the entries of NO_PROXY. `ca_file`: a PEM bundle trusted beside the usual authorities."""

    proxy: Proxy | None = None
    direct: Sequence[str] = ()
    ca_file: Path | None = None

    def proxy_for(self, host: str, port: int) -> Proxy | None:
        """The proxy for an https address; None where it is reached directly."""
        return None if _is_direct(self.direct, host, port) else self.proxy


DIRECT = Network()


def read_network(values: Mapping[str, str], hosts: Sequence[tuple[str, int]], ca_file: Path | None) -> Network:
    """The way out by the environment's variables. `hosts` with their ports: those that will be asked.

    Raises SettingsError for an address that is none, and for a proxy of a kind that is not supported if it would be used.
    """
    name, text = _chosen(values)
    listed = (values.get("no_proxy") or values.get("NO_PROXY") or "").lower()
    direct = tuple(filter(None, re.split(r"[,\s]+", listed)))
    if text is None:
        return Network(None, direct, ca_file)
    scheme = _scheme(name, text)
    if scheme in PORTS:
        return Network(_proxy(name, scheme, text), direct, ca_file)
    if name != OWN and all(_is_direct(direct, host, port) for host, port in hosts):
        return Network(None, direct, ca_file)
    kind = "a SOCKS proxy" if scheme.startswith("socks") else "neither an http:// nor an https:// address"
    raise _wrong(name, f"is {kind}, which is not supported; use an HTTP proxy")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name or address."""
    host = host.lower().rstrip(".")
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def _chosen(values: Mapping[str, str]) -> tuple[str, str | None]:
    for name in (OWN, *(spelt for usual in USUAL for spelt in (usual.lower(), usual))):
        if text := (values.get(name) or "").strip():
            return name, text
    return OWN, None


def _scheme(name: str, text: str) -> str:
    """The usual variables may hold a host and port alone, which are an http proxy's."""
    scheme, found, _ = text.partition("://")
    if not found and name == OWN:
        raise _wrong(name, "is not an http:// or https:// address")
    return scheme.lower() if found else "http"


def _proxy(name: str, scheme: str, text: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"{scheme}://{text}")
        host, port = parts.hostname or "", parts.port
        user, password = (unquote(part or "", errors="strict") for part in (parts.username, parts.password))
    except ValueError:
        raise _wrong(
            name, "is not an address of a host and a port; escape what a URL cannot hold in a password"
        ) from None
    is_plain = _HOST.fullmatch(host) is not None and port != 0
    if not is_plain or parts.path not in ("", "/") or parts.query or parts.fragment or not text.isprintable():
        raise _wrong(name, "is not an address of a host and a port; escape what a URL cannot hold in a password")
    given = base64.b64encode(f"{user}:{password}".encode()).decode() if parts.username is not None else None
    authorization = Secret(f"Basic {given}") if given else None
    return Proxy(host, port or PORTS[scheme], scheme == "https", authorization, name)


def _wrong(name: str, fault: str) -> SettingsError:
    """The value itself is not shown: it may hold a password."""
    return SettingsError(f"{name} {fault}. Example: {name}={EXAMPLE}", variable=name)


def _is_direct(entries: Sequence[str], host: str, port: int) -> bool:
    host = host.lower().rstrip(".")
    return is_loopback(host) or any(_covers(entry, host, port) for entry in entries)


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY names the host: `*`, a name or its suffix, with or without a port, an address, a network."""
    scheme, found, rest = entry.rpartition("://")
    if found and scheme not in ("https", "all"):
        return False
    address = _address(host)
    if address and "/" in rest:
        return _is_within(address, rest)
    name, wanted = _split(rest)
    if wanted not in (None, str(port)):
        return False
    if name == "*":
        return True
    if address:
        return _address(name) == address
    name = name.removeprefix("*").strip(".")
    return host == name or (name != "" and host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, str | None]:
    """Host and port; `[::1]:8080`, `::1` and `example.com:443` alike."""
    bracketed = re.fullmatch(r"\[(.+)\](?::(\d+))?", entry)
    if bracketed:
        return bracketed[1], bracketed[2]
    name, _, port = entry.rpartition(":")
    return (name, port) if name and port.isdecimal() and ":" not in name else (entry, None)


def _is_within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
