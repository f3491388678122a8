"""Which partner a process works for, and what it must not have: the variables of all others."""

from __future__ import annotations

import ctypes
import json
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import declared
from debitura_pipeline.settings.environment import read_environment
from debitura_pipeline.settings.model import PROJECT_ROOT
from debitura_pipeline.settings.partners_file import PartnersFile, find_partners

SOCKET = "DEBITURA_SECRETS_SOCKET"
ASK_WITHIN_S = 10.0
MAX_NAME_BYTES = 64
NO_PARTNERS = (
    "DEBITURA_PARTNERS, the file of the partners, is not set, so no partner can be chosen or listed. Example: "
    "DEBITURA_PARTNERS=partners.toml"
)


def open_partners(root: Path = PROJECT_ROOT) -> tuple[PartnersFile, dict[str, str]]:
    """The partners file, and the variables that are set. Raises SettingsError, also where DEBITURA_PARTNERS is not set."""
    given = read_environment(root)
    partners = find_partners(given, root)
    if partners is None:
        raise SettingsError(NO_PARTNERS, variable=declared.PARTNERS.name)
    return partners, given


def served_partners(root: Path = PROJECT_ROOT) -> tuple[str, ...]:
    """The partners that a process of Dagster serves: all of the file, or none where it works for a single one.

    None, too, where the file cannot be read: a run then reports what is wrong. Reads no secret.
    """
    try:
        partners, given = open_partners(root)
    except SettingsError:
        return ()
    return () if given.get(declared.PARTNER.name, "").strip() else tuple(partners.tables)


def choose_partner(name: str, root: Path = PROJECT_ROOT) -> None:
    """Make `name` the partner of this process and of those that it starts: its environment names the partner, and has no
    variable that only other partners' tables name. A process of `debitura dev` gets the partner's own from there. Raises
    SettingsError.
    """
    partners, given = open_partners(root)
    os.environ[declared.PARTNER.name] = chosen_name(partners, {**given, declared.PARTNER.name: name})
    forget(partners.foreign_variables(name))
    missing = {variable for variable, users in partners.variables.items() if name in users} - given.keys()
    place = os.environ.pop(SOCKET, None)  # nothing that this process starts may ask
    if missing and place:
        os.environ.update({variable: text for variable, text in _ask(place, name).items() if variable in missing})


def _ask(place: str, name: str) -> dict[str, str]:
    """The partner's variables from the socket of `debitura dev`; none where it does not answer, which a run then reports."""
    with suppress(OSError, ValueError), closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as server:
        server.settimeout(ASK_WITHIN_S)
        server.connect(place)
        server.sendall(f"{name}\n".encode())
        parts = iter(lambda: server.recv(65536), b"")
        found: dict[str, str] = json.loads(b"".join(parts))
        return found
    return {}


def chosen_name(partners: PartnersFile, given: Mapping[str, str]) -> str:
    """The partner that DEBITURA_PARTNER names. Raises SettingsError where it names none, or one that is not in the file."""
    name = given.get(declared.PARTNER.name, "").strip()
    if not name:
        count = len(partners.tables)
        raise SettingsError(
            f"{partners.path} has {count} partner{'' if count == 1 else 's'}; say for which one: {partners.names()}. "
            f"Example: debitura --partner {next(iter(partners.tables))} status",
            variable=declared.PARTNER.name,
        )
    partners.table(name)
    return name


def forget(names: Iterable[str]) -> None:
    """Remove variables from this process's environment, and their values from the memory that /proc shows."""
    for name in names:
        if name in os.environ:
            _blank(name)
            del os.environ[name]


def _blank(name: str) -> None:
    getenv = ctypes.CDLL(None).getenv
    getenv.restype, getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    address = getenv(os.fsencode(name))
    if address:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))
