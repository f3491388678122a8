"""Pseudonyms of debtors: a keyed hash of the normalised name."""

from __future__ import annotations

import hmac
import unicodedata
from functools import lru_cache

import pyarrow as pa

# Names come back from page to page. Bounded, so that memory does not grow with the rows: about 6 MB.
CACHE_SIZE = 16_384


def normalise(name: str) -> str:
    """One spelling of a name: NFC, blanks of every kind collapsed and trimmed, lower case."""
    return " ".join(unicodedata.normalize("NFC", name).lower().split())


class Pseudonyms:
    """HMAC-SHA256 of normalised names, as hex: OpenSSL's, which is faster than the one inside DuckDB."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")  # to be copied: keying it takes as long as a name
        self._recall = lru_cache(maxsize=CACHE_SIZE)(self._pseudonym)

    def of(self, names: pa.Array) -> pa.Array:
        """Keys of `names`; null where a name is null or blank."""
        return pa.array(map(self._recall, names.to_pylist()), pa.string())

    def forget(self) -> None:
        """Names that were seen and their keys are remembered no longer."""
        self._recall.cache_clear()

    def digest(self, data: bytes) -> str:
        """HMAC of bytes that must not be guessable from their hash."""
        keyed = self._keyed.copy()
        keyed.update(data)
        return keyed.hexdigest()

    def _pseudonym(self, name: str | None) -> str | None:
        plain = None if name is None else normalise(name)
        return self.digest(plain.encode()) if plain else None
