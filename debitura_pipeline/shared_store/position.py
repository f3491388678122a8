"""How far a data directory and the shared store agree: `shared-store.json` in the data directory."""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path

import msgspec

from debitura_pipeline.errors import SharedStoreError
from debitura_pipeline.files import write_private_atomically

FILE = "shared-store.json"


class StorePosition(msgspec.Struct, kw_only=True):
    """`owner`: a random name of this data directory. `number`, `digest`: of the records that both had when they last agreed, at
    `agreed_at`. `newest`: by resource, the folder of the newest sync that the store has. `published`: the name of the night that
    was copied last. `fault`: why the last copy failed."""

    url: str
    owner: str
    number: int = 0
    digest: str = ""
    agreed_at: datetime | None = None
    newest: dict[str, str] = {}
    published: str | None = None
    fault: str | None = None


def read_store_position(data_dir: Path, url: str) -> StorePosition:
    """The position with the store at `url`; a new one if there was none. Writes nothing. Raises SharedStoreError."""
    path = data_dir / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=StorePosition)
    except FileNotFoundError:
        return StorePosition(url=url, owner=secrets.token_hex(8))
    except (OSError, msgspec.DecodeError):
        raise SharedStoreError(
            f"{path} cannot be read. Nothing was touched.",
            cure="Restore it from a backup, or remove it if the warehouse is Postgres.",
        ) from None
    return found if found.url == url else StorePosition(url=url, owner=found.owner)


def write_store_position(data_dir: Path, position: StorePosition) -> None:
    """Raises OSError."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_atomically(data_dir / FILE, msgspec.json.encode(position), fsync=True)
