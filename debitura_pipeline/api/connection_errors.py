"""Messages for failed connections: host and port, what was tried, what to check.

Error texts of the libraries are never shown, since they may quote what the server sent.
"""

from __future__ import annotations

import socket
import ssl

NOT_HTTP = "not HTTP"


def host_and_port(host: str, port: int) -> str:
    """`host:port`; an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_bad_certificate(error: BaseException | None) -> bool:
    """Whether an error was caused by a certificate that is not trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def untrusted_certificate(at: str) -> str:
    """Message for an untrusted certificate, with how to trust it."""
    return (
        f"the certificate of {at} could not be verified. Check the address and this machine's clock; for a certificate "
        "authority of your own set DEBITURA_CA_FILE to its certificate, a PEM file"
    )


def timed_out(at: str, *, is_connected: bool) -> str:
    """Message for a server that does not respond, or to which no connection could be made in time."""
    if is_connected:
        return f"{at} did not answer in time"
    return f"no connection to {at} in time. Check the network, and whether a firewall or a proxy is in the way"


def connection_failed(error: BaseException, at: str) -> str:
    """Message for a connection that could not be made, or was lost."""
    if isinstance(error, socket.gaierror):
        return f"the name of {at} was not found. Check the address for a typo, then DNS and the network"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing is listening at {at}: the connection was refused. Check the address and its port"
    if isinstance(error, ssl.SSLError):
        return f"{at} does not use TLS, which https requires. Check that the port is the https one"
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        why = error.strerror or "none of its addresses answers"
        return f"{at} cannot be reached ({why}). Check the address, its port and the network"
    if str(error) == NOT_HTTP:
        return f"{at} does not speak HTTP. Check the address: whether it is http or https, and the port"
    return f"the connection to {at} was lost before the response was complete"


def proxy_refused(proxy: str, status: int, at: str, variable: str) -> str:
    """Message for a proxy that answered CONNECT with an error status."""
    if status == 407:
        return (
            f"the proxy {proxy} requires a user and a password, or rejected those given (HTTP 407). Check {variable}: "
            "http://user:password@host:port"
        )
    if status in (401, 403):
        return (
            f"the proxy {proxy} does not allow connections to {at} (HTTP {status}). Ask its administrator to allow them, or check "
            f"{variable}; hosts in NO_PROXY are reached directly"
        )
    if status >= 500:
        return f"the proxy {proxy} could not reach {at} (HTTP {status}). Check the address, then ask the proxy's administrator"
    return f"{proxy} answers CONNECT with HTTP {status}, so it may not be a proxy. Check {variable}"


def proxy_broken(error: BaseException | None, proxy: str, variable: str) -> str:
    """Message for a proxy that could not be reached, or closed the connection."""
    if isinstance(error, TimeoutError):
        return f"the proxy {proxy} did not answer in time. Check {variable} and the network"
    words = connection_failed(error or ConnectionError(), proxy).partition(". Check")[0]
    return f"the proxy cannot be used: {words}. Check {variable} and whether the proxy is up"
