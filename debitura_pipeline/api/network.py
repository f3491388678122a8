"""What is wrong with a connection, in words: host and port, what was tried, what to check.

The libraries' own texts are not shown: they may quote what the server sent.
"""

from __future__ import annotations

import socket
import ssl


def place(host: str, port: int) -> str:
    """`host:port`, as messages name a server."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_bad_certificate(error: BaseException | None) -> bool:
    """Whether a certificate that is not trusted is behind an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def untrusted(at: str) -> str:
    """A certificate that is not trusted, and how to trust it."""
    return (
        f"the certificate of {at} could not be verified. Check the address and this machine's clock; for a certificate "
        "authority of your own set SSL_CERT_FILE"
    )


def timed_out(at: str, *, is_connected: bool) -> str:
    """A server that does not answer, or cannot be reached."""
    if is_connected:
        return f"{at} did not answer in time"
    return f"no connection to {at} in time. Check the network, and whether a firewall or a proxy stands between"


def broken(error: BaseException, at: str) -> str:
    """A connection that was not made, or broke."""
    if isinstance(error, socket.gaierror):
        return f"the name of {at} was not found. Check the address for a typo, then DNS and the network"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {at}: the connection was refused. Check the address and its port"
    if isinstance(error, ssl.SSLError):
        return f"{at} does not answer in TLS as https needs it. Check that the port is the https one"
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        why = error.strerror or "none of its addresses answers"
        return f"{at} cannot be reached ({why}). Check the address, its port and the network"
    return f"the connection to {at} broke before the answer was whole"
