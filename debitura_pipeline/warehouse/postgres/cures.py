"""Advice for refused Postgres connections, found by the words of the server's error message.

libpq passes no SQLSTATE on for a failed connection, so servers with messages in another language get the general advice.
"""

from __future__ import annotations

_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("password authentication failed", "no password supplied", "authentication failed"),
        "The user or the password is wrong: correct it in {variable} (@ : / % in a password are written as %40 %3A %2F %25).",
    ),
    (
        ("role", "does not exist"),
        "There is no such user on that server: correct {variable}, or create it (see `debitura doctor --grant-sql`).",
    ),
    (
        ("database", "does not exist"),
        "There is no such database on that server: correct its name in {variable}, or create it with CREATE DATABASE.",
    ),
    (
        ("permission denied for database",),
        "The user of {variable} may not connect to that database: an administrator runs GRANT CONNECT ON DATABASE … TO that user.",
    ),
    (
        ("no pg_hba.conf entry",),
        "The server does not allow this user to connect from this machine: add a line to its pg_hba.conf.",
    ),
    (
        ("resolve host", "translate host name", "not known", "name resolution"),
        "The host name was not found: check the host in {variable} for a typo, then DNS and the network.",
    ),
    (("refused",), "Nothing is listening there: check host and port in {variable}, and whether the server is running."),
    (
        ("timeout", "timed out"),
        "The server did not answer: check host and port in {variable}, and whether a firewall is in the way.",
    ),
    (
        ("certificate", "SSL", "sslmode"),
        "The TLS settings do not match: check sslmode and sslrootcert in {variable} against the server.",
    ),
    (
        ("too many clients", "connection slots"),
        "The server has no free connections: close others, or raise its max_connections.",
    ),
    (("is the oldest that is supported",), "Use a Postgres of 14 or later."),
    (("starting up", "shutting down", "recovery"), "The server is not up yet: wait, then run the same command again."),
)
_OTHER = "Check {variable}, and whether a Postgres server is running there."


def cure_of(fault: str, variable: str) -> str:
    """Advice for a connection that failed with the message `fault`; `variable` holds its address."""
    for signs, cure in _SIGNS:
        is_pair = signs[-1] == "does not exist"
        if all(sign in fault for sign in signs) if is_pair else any(sign in fault for sign in signs):
            return cure.format(variable=variable)
    return _OTHER.format(variable=variable)
