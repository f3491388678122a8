"""Places that no two partners may share: data directory, warehouse (or schemas in it), Dagster's home and database, shared store.

Only what the file says is compared; no secret is read for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debitura_pipeline.settings import declared
from debitura_pipeline.settings.addresses import address_options, host_of
from debitura_pipeline.settings.partner_table import FILE, VARIABLE
from debitura_pipeline.settings.url_readers import DUCKDB

if TYPE_CHECKING:
    from debitura_pipeline.settings.partners_file import PartnersFile

POSTGRES_PORT = 5432
Clash = tuple[str, str]  # the key and what is wrong with it
HOME, DATA, WAREHOUSE = declared.DAGSTER_HOME.key, declared.DATA_DIR.key, declared.WAREHOUSE.key
DATABASE, PREFIX = declared.DAGSTER_POSTGRES_URL.key, declared.SCHEMA_PREFIX.key
STORE = declared.SHARED_STORE.key


def clash_of(partners: PartnersFile, name: str, base: Path) -> Clash | None:
    """What `name` shares with another partner; None if nothing. `base`: the folder of the partners' data directories."""
    return _clashes(partners, base).get(name)


@lru_cache(maxsize=2)
def _clashes(partners: PartnersFile, base: Path) -> dict[str, Clash]:
    folders = {
        name: _place(partners.root, table.get(DATA)) or (base / name).resolve()
        for name, table in partners.tables.items()
    }
    found: dict[str, Clash] = {}
    for name, other in _nested(folders):
        found.setdefault(
            name, (DATA, f"is {folders[name]}, and that of partner {other} is {folders[other]}; keep them apart")
        )
    users: dict[tuple[str, Hashable], list[str]] = defaultdict(list)
    for name, table in partners.tables.items():
        for key, place in _places(partners.root, folders[name], table):
            users[key, place].append(name)
    for (key, _), names in users.items():
        for name in names if len(names) > 1 else ():
            found.setdefault(name, (key, _fault(key, name, next(other for other in names if other != name))))
    for name, table in partners.tables.items():
        home = _place(partners.root, table.get(HOME))
        owner = None if home is None else _owner_of(home, folders)
        if owner is not None and owner != name:
            found.setdefault(name, (HOME, f"is {home}, in the data directory of partner {owner}; keep them apart"))
    return found


def _fault(key: str, name: str, other: str) -> str:
    hint = f'; with Postgres, {PREFIX} = "{name.replace("-", "_")}_" keeps them apart' if key == WAREHOUSE else ""
    return f"is the same as that of partner {other}{hint}"


def _nested(folders: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Pairs of partners of which one's folder is, or is in, the other's; each pair both ways."""
    owners = {folder: name for name, folder in folders.items()}
    for name, folder in folders.items():
        for place in (folder, *folder.parents):
            other = owners.get(place)
            if other is not None and other != name:
                yield name, other
                yield other, name


def _owner_of(place: Path, folders: Mapping[str, Path]) -> str | None:
    """The partner in whose data directory a folder is."""
    return next((name for name, folder in folders.items() if place.is_relative_to(folder)), None)


def _places(root: Path, data: Path, table: Mapping[str, Any]) -> Iterator[tuple[str, Hashable]]:
    yield HOME, _place(root, table.get(HOME)) or data / "dagster"
    warehouse = _address(root, table, WAREHOUSE) or ("path", data / "warehouse.duckdb")
    yield WAREHOUSE, (*warehouse, str(table.get(PREFIX, "")).strip() if warehouse[0] != "path" else "")
    if database := _address(root, table, DATABASE):
        yield DATABASE, database
    if isinstance(store := table.get(STORE), str) and store:
        yield STORE, store.strip().rstrip("/")


def _address(root: Path, table: Mapping[str, Any], key: str) -> tuple[Hashable, ...] | None:
    """A DuckDB file, a database, or where the address is kept; None where it is not said."""
    for end in (VARIABLE, FILE):
        if isinstance(place := table.get(f"{key}{end}"), str):
            return end, (_place(root, place) or place) if end == FILE else place
    if not isinstance(text := table.get(key), str) or not text:
        return None
    if text.startswith(DUCKDB):
        return "path", _place(root, text.removeprefix(DUCKDB)) or text
    options = address_options(text.strip())
    if options is None:
        return "text", text.strip()
    database = options.get("dbname") or options.get("user")
    return "database", host_of(options), str(options.get("port") or POSTGRES_PORT), database


def _place(root: Path, text: object) -> Path | None:
    """The path that a table's value is; None if it is none, which is reported where the value is read."""
    if isinstance(text, str) and text:
        with suppress(OSError, RuntimeError, ValueError):
            return (root / Path(text.strip()).expanduser()).resolve()
    return None
