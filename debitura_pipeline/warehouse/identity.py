"""Record whose data a data directory and a warehouse hold (API, partner, privacy key) and refuse any other.

The partner's id and the privacy key are stored as keyed hashes only.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from debitura_pipeline.errors import IdentityRefused
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.settings import LOOPBACK, PRIVACY_KEY_FILE, Settings, key_fingerprint
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.opening import WAIT_S, describe_warehouse, open_warehouse, warehouse_exists

IDENTITY_FILE = "identity.json"
EMBEDDED = "embedded sandbox"
FINGERPRINT_DIGITS = 32


@dataclass(frozen=True)
class Identity:
    """Whose data it is. `host` has no port on this machine, since a simulated API gets a new one at each start. `partner`:
    keyed hash of its id, None if the API stated none. `privacy_key`: the key's fingerprint."""

    environment: str
    host: str
    partner: str | None
    privacy_key: str

    @property
    def api(self) -> str:
        return f"the {EMBEDDED}" if self.host == EMBEDDED else f"the {self.environment} API at {self.host}"


@dataclass(frozen=True)
class IdentityCheck:
    """The settings, and whose data the data directory and the warehouse hold (None: none yet)."""

    settings: Settings
    folder: Identity | None
    warehouse: Identity | None
    partner_id: str | None = None

    def with_partner(self, partner_id: str | None) -> IdentityCheck:
        """The same with the partner's id from the API. Raises IdentityRefused if the data is another partner's."""
        key = self.settings.find_privacy_key()
        for where, known in self.places():
            if partner_id and key and known.partner not in (None, _hashed_partner(key, partner_id)):
                raise IdentityRefused(
                    f"{where} holds the data of another partner than the one whose DEBITURA_API_KEY is set.",
                    cure=f"{_OTHER_PLACE} Nothing was read or changed.",
                )
        return replace(self, partner_id=partner_id)

    def keep(self) -> None:
        """Write the identity to both places where it is missing; creates the privacy key if there is none."""
        key = self.settings.obtain_privacy_key()
        partners = [known.partner for _, known in self.places()]
        if self.partner_id is not None:
            partners.append(_hashed_partner(key, self.partner_id))
        whole = Identity(*_api_of(self.settings), next(filter(None, partners), None), key_fingerprint(key))
        if self.warehouse != whole:
            with open_warehouse(self.settings) as warehouse:
                _write_row(warehouse, whole)
        if self.folder != whole:
            _write_file(self.settings.data_dir / IDENTITY_FILE, whole)

    def places(self) -> Iterator[tuple[str, Identity]]:
        """Data directory and warehouse with their identity, if they have one."""
        if self.folder is not None:
            yield f"The data directory {self.settings.data_dir}", self.folder
        if self.warehouse is not None:
            yield f"The warehouse {describe_warehouse(self.settings)}", self.warehouse


def check_identity(settings: Settings, *, with_warehouse: bool = True, wait_s: float = WAIT_S) -> IdentityCheck:
    """Compare the stored identities with the settings. Sends no request and writes nothing.

    Raises IdentityRefused if the data belongs to another API, or was pseudonymised with another privacy key.
    """
    folder = _read_file(settings.data_dir / IDENTITY_FILE)
    known = IdentityCheck(settings, folder, _read_row(settings, wait_s) if with_warehouse else None)
    key = settings.find_privacy_key()
    for where, found in known.places():
        _check_api(settings, where, found)
        _check_key(settings, where, found, key)
    partners = {found.partner for _, found in known.places()} - {None}
    if len(partners) > 1:
        raise IdentityRefused(
            f"The data directory {settings.data_dir} and the warehouse {describe_warehouse(settings)} hold the data of two "
            "different partners.",
            cure=f"{_OTHER_PLACE} Nothing was read or changed.",
        )
    return known


def check_privacy_key(settings: Settings) -> str | None:
    """Compare the data directory's privacy key alone: for what calls no API, and whose settings may name none.

    Returns what is wrong with a key that is not the one that the data directory's pseudonyms were made with. Raises
    IdentityRefused if the key is lost, before a new one is made.
    """
    known, key = _read_file(settings.data_dir / IDENTITY_FILE), settings.find_privacy_key()
    if known is None or (key is not None and known.privacy_key == key_fingerprint(key)):
        return None
    refused = _other_key(settings, f"The data directory {settings.data_dir}", key)
    if key is None:
        raise refused
    return refused.fault


def stored_identities(settings: Settings) -> list[tuple[str, Identity]]:
    """The stored identities, whatever the settings say. Raises DebituraError if they cannot be read."""
    known = IdentityCheck(settings, _read_file(settings.data_dir / IDENTITY_FILE), _read_row(settings, WAIT_S))
    return list(known.places())


def identity_of(settings: Settings, partner_id: str | None) -> Identity | None:
    """Whose data the settings read, with the partner's id from the API; None without a privacy key. Makes none."""
    key = settings.find_privacy_key()
    if key is None:
        return None
    partner = _hashed_partner(key, partner_id) if partner_id else None
    return Identity(*_api_of(settings), partner, key_fingerprint(key))


def api_name(settings: Settings) -> str:
    """The API that the settings name, for messages."""
    return Identity(*_api_of(settings), None, "").api


def _check_api(settings: Settings, where: str, found: Identity) -> None:
    if (found.environment, found.host) != _api_of(settings):
        raise IdentityRefused(
            f"{where} holds the data of {found.api}, but the settings name {api_name(settings)}.",
            cure=f"{_OTHER_PLACE} No request was sent and nothing was changed.",
        )


def _check_key(settings: Settings, where: str, found: Identity, key: bytes | None) -> None:
    if key is None or found.privacy_key != key_fingerprint(key):
        raise _other_key(settings, where, key)


def _other_key(settings: Settings, where: str, key: bytes | None) -> IdentityRefused:
    file = settings.data_dir / PRIVACY_KEY_FILE
    if key is None:
        fault = f"is missing: {file} does not exist and DEBITURA_PRIVACY_KEY is not set"
    else:
        fault = f"is not the one in {'DEBITURA_PRIVACY_KEY' if settings.privacy_key is not None else file}"
    return IdentityRefused(
        f"{where}: the privacy key that its pseudonyms were made with {fault}.",
        cure="Restore the old key, as that file or in DEBITURA_PRIVACY_KEY (it is in privacy.key of the data directory used "
        f"before). {_OTHER_PLACE} No request was sent and nothing was changed.",
    )


def _api_of(settings: Settings) -> tuple[str, str]:
    if settings.api_url is None:
        return settings.environment, EMBEDDED
    parts = urlsplit(settings.api_url)
    host = (parts.hostname or "").lower()
    if host in LOOPBACK:
        return settings.environment, "this machine"
    return settings.environment, host if parts.port in (None, 443) else f"{host}:{parts.port}"


def _hashed_partner(key: bytes, partner_id: str) -> str:
    return _keyed(key, f"partner {partner_id.lower()}")


def _keyed(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()[:FINGERPRINT_DIGITS]


def _read_file(path: Path) -> Identity | None:
    try:
        found = json.loads(path.read_text())
        return Identity(**{field.name: found[field.name] for field in fields(Identity)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError):
        raise IdentityRefused(
            f"{path} cannot be read, so it is unknown whose data {path.parent} holds.",
            cure="Restore it from a backup. If you are sure that the settings are right, remove it; the next run writes it "
            "again. Nothing was changed.",
        ) from None


def _write_file(path: Path, identity: Identity) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private_atomically(path, (json.dumps(vars(identity), indent=2) + "\n").encode(), fsync=True)


def _read_row(settings: Settings, wait_s: float) -> Identity | None:
    if not warehouse_exists(settings, wait_s=wait_s):
        return None
    with open_warehouse(settings, read_only=True, wait_s=wait_s) as warehouse:
        if not warehouse.columns("ops", "identity"):
            return None
        found = warehouse.rows(f"SELECT {_COLUMNS} FROM ops.identity")
    return Identity(*found[0]) if found else None


def _write_row(warehouse: SqlWarehouse, identity: Identity) -> None:
    with warehouse.transaction():
        warehouse.run("DELETE FROM ops.identity")
        warehouse.run(f"INSERT INTO ops.identity ({_COLUMNS}) VALUES ($1, $2, $3, $4)", tuple(vars(identity).values()))


_COLUMNS = ", ".join(field.name for field in fields(Identity))
_OTHER_PLACE = "For other data, use another DEBITURA_DATA_DIR (and DEBITURA_WAREHOUSE, if it is set)."
