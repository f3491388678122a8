"""The key of the debtor pseudonyms: the setting, or a file in the data directory that is made once."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings.declaration import Given, ValueReader

PRIVACY_KEY_FILE = "privacy.key"
PRIVACY_KEY_BYTES = 32
LEAST_PRIVACY_KEY = 16  # characters
FINGERPRINT_DIGITS = 32


def key_text(given: Given) -> str:
    """A key that is long enough not to be guessed. It is never shown."""
    if len(given.text) < LEAST_PRIVACY_KEY:
        raise given.wrong(f"is shorter than {LEAST_PRIVACY_KEY} characters", "64 random hexadecimal digits")
    return given.text


PRIVACY_KEY_TEXT = ValueReader(f"at least {LEAST_PRIVACY_KEY} characters", key_text)


def read_key(path: Path) -> bytes:
    """The key in a file. Raises SettingsError where the file cannot be read or holds none that is long enough."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); it holds the key of the pseudonyms.") from None
    if len(key) < LEAST_PRIVACY_KEY:
        raise SettingsError(
            f"{path} contains no privacy key of at least {LEAST_PRIVACY_KEY} characters. Restore it from a backup or set "
            "DEBITURA_PRIVACY_KEY to the old key; without it pseudonyms change. Nothing was changed.",
            variable="DEBITURA_PRIVACY_KEY",
        )
    return key


def key_fingerprint(key: bytes) -> str:
    """Tells privacy keys apart without revealing anything about them."""
    return hmac.digest(key, b"fingerprint of the privacy key", "sha256").hex()[:FINGERPRINT_DIGITS]


def create_key(data_dir: Path) -> bytes:
    """The key in the data directory, made with mode 0600 unless another process was first. Raises SettingsError as above."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / PRIVACY_KEY_FILE
    draft = data_dir / f".privacy.{os.getpid()}.key"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(PRIVACY_KEY_BYTES))
    try:
        os.link(draft, path)  # fails where another process was first: its key then stands
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return read_key(path)
