"""One partner's settings as variables: its table over the shared settings, its secrets read, other partners' secrets left alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import declared
from debitura_pipeline.settings.catalogue import OWN
from debitura_pipeline.settings.declaration import Values
from debitura_pipeline.settings.partner_clashes import clash_of
from debitura_pipeline.settings.partner_table import FILE, VARIABLE, PartnerTable, Source
from debitura_pipeline.settings.partners_file import PartnersFile

MAX_FILE_BYTES = 64 * 1024
ANYBODY = stat.S_IRWXO


def base_folder(partners: PartnersFile, given: Mapping[str, str]) -> Path:
    """The folder of the partners' data directories. Raises SettingsError."""
    return Values({declared.DATA_DIR.name: given.get(declared.DATA_DIR.name)}, partners.root).one(declared.DATA_DIR)


def open_values(partners: PartnersFile, name: str, given: Mapping[str, str]) -> dict[str, str]:
    """The variables of one partner without its secrets. Raises SettingsError, also where it shares a place with another one."""
    table, base = partners.table(name), base_folder(partners, given)
    clash = clash_of(partners, name, base)
    if clash is not None:
        raise table.wrong(*clash)
    left_out = {setting.name for setting in OWN if setting.scope != "shared"} | partners.variables.keys()
    shared = {variable: given[variable] for variable in given if variable not in left_out}
    return {**shared, declared.DATA_DIR.name: str(base / name), **table.texts}


def whole_values(partners: PartnersFile, name: str, given: Mapping[str, str]) -> dict[str, str]:
    """The same with its secrets. No other partner's variable or file is read. Raises SettingsError."""
    _refuse_single(given)
    table, found = partners.table(name), open_values(partners, name, given)
    for variable, source in table.sources.items():
        found[variable] = _read(table, source, partners, given)
    return found


def _refuse_single(given: Mapping[str, str]) -> None:
    """Settings of a single partner beside the file: none of the partners could mean them. Dagster's own variables are Dagster's."""
    for setting in OWN:
        if setting.scope == "own" and setting.name.startswith("DEBITURA_") and given.get(setting.name):
            raise SettingsError(
                f"{setting.name} is set beside {declared.PARTNERS.name}, whose partners each have their own; unset it, and set "
                f"{setting.key}{VARIABLE if setting.is_secret else ''} in the partner's table.",
                variable=setting.name,
            )


def _read(table: PartnerTable, source: Source, partners: PartnersFile, given: Mapping[str, str]) -> str:
    if source.end == FILE:
        return _text_of(table, source, partners.root)
    text = given.get(source.place, "").strip()
    if not text:
        raise table.wrong(source.key, f"names {source.place}, which is not set")
    return text


def _text_of(table: PartnerTable, source: Source, root: Path) -> str:
    """The text of a secret's file. A path that does not exist is not shown: it may be the secret itself."""
    path = Path(source.place)
    try:
        path = (root / path.expanduser()).resolve()
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - a named pipe would block
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise table.wrong(source.key, f"names {path}, which is not a file")
            if mode & ANYBODY:
                fault = f"names {path}, which every user of this machine may use (mode {stat.S_IMODE(mode):04o}); chmod it to 0600"
                raise table.wrong(source.key, fault)
            content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise table.wrong(source.key, f"names {path}, which is too long for a secret")
            text = content.decode().strip()
    except RuntimeError:
        raise table.wrong(source.key, "names a file in the home of nobody") from None
    except OSError as error:
        shown = f" {path}" if os.path.lexists(path) else " a file"
        raise table.wrong(source.key, f"names{shown}, which cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise table.wrong(source.key, f"names {path}, which is not UTF-8 text") from None
    if not text:
        raise table.wrong(source.key, f"names {path}, which is empty")
    return text
