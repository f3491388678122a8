"""Choose the proxy for a host from DEBITURA_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY. Connections are in `api/tunnel.py`.

HTTP_PROXY is ignored: plain HTTP is used on loopback only, which is never proxied.
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
    """An HTTP CONNECT proxy. `is_tls`: the connection to the proxy itself uses TLS. `authorization`: the value of
    Proxy-Authorization. `variable`: the setting that it comes from."""

    host: str
    port: int
    is_tls: bool
    authorization: Secret | None
    variable: str


@dataclass(frozen=True)
class Network:
    """How to reach hosts. `direct`: the entries of NO_PROXY. `ca_file`: PEM bundle trusted in addition to the system's."""

    proxy: Proxy | None = None
    direct: Sequence[str] = ()
    ca_file: Path | None = None

    def proxy_for(self, host: str, port: int) -> Proxy | None:
        """The proxy for an https address; None if it is reached directly."""
        return None if _is_direct(self.direct, host, port) else self.proxy


DIRECT = Network()


def read_network(values: Mapping[str, str], hosts: Sequence[tuple[str, int]], ca_file: Path | None) -> Network:
    """Network settings from environment variables. `hosts`: the hosts that will be reached, with ports.

    Raises SettingsError for an invalid address, and for an unsupported kind of proxy if it would be used.
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
    """Whether a host name or address is loopback."""
    host = host.lower().rstrip(".")
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def _chosen(values: Mapping[str, str]) -> tuple[str, str | None]:
    for name in (OWN, *(spelt for usual in USUAL for spelt in (usual.lower(), usual))):
        if text := (values.get(name) or "").strip():
            return name, text
    return OWN, None


def _scheme(name: str, text: str) -> str:
    """The scheme; `http` if HTTPS_PROXY or ALL_PROXY hold only a host and port."""
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
    """The error, without the value: it may contain a password."""
    return SettingsError(f"{name} {fault}. Example: {name}={EXAMPLE}", variable=name)


def _is_direct(entries: Sequence[str], host: str, port: int) -> bool:
    host = host.lower().rstrip(".")
    return is_loopback(host) or any(_covers(entry, host, port) for entry in entries)


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY matches: `*`, a name or suffix (with or without a port), an address, a network."""
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
    """Host and port of `[::1]:8080`, `::1` or `example.com:443`."""
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
