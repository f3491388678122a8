"""Each way in which a connection fails names host and port and says what to check; the library's words are never all there is."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from debitura_pipeline.api.connection_errors import connection_failed, host_and_port, timed_out


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name of api.example:443 was not found"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "nothing is listening at api.example:443"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "api.example:443 does not use TLS"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "cannot be reached (Network is unreachable)"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "the connection to api.example:443 was lost"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "api.example:443 cannot be reached (none of"),
    ],
)
def test_an_error_is_told_with_host_and_port_and_what_to_check(error: OSError, words: str) -> None:
    told = connection_failed(error, host_and_port("api.example", 443))
    assert words in told
    assert type(error).__name__ not in told


def test_a_server_that_is_silent_and_one_that_is_not_reached_are_told_apart() -> None:
    assert timed_out("h:1", is_connected=True) == "h:1 did not answer in time"
    assert timed_out("h:1", is_connected=False).startswith("no connection to h:1 in time. Check ")
    assert host_and_port("::1", 8080) == "[::1]:8080"
