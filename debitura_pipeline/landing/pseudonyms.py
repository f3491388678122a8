"""Pseudonyms of debtors: a keyed hash of the normalised name."""

from __future__ import annotations

import hmac
import unicodedata
from functools import lru_cache

import pyarrow as pa

# Names recur between pages. Bounded, so that memory does not grow with the rows: about 6 MB.
CACHE_SIZE = 16_384


def normalise(name: str) -> str:
    """A name in NFC and lower case, with whitespace collapsed and trimmed."""
    return " ".join(unicodedata.normalize("NFC", name).lower().split())


class Pseudonyms:
    """HMAC-SHA256 of normalised names, as hex: OpenSSL's, which is faster than the one inside DuckDB."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")  # to be copied: keying it takes as long as a name
        self._recall = lru_cache(maxsize=CACHE_SIZE)(self._pseudonym)

    def of(self, names: pa.Array) -> pa.Array:
        """Pseudonyms of `names`; null for null or blank names."""
        return pa.array(map(self._recall, names.to_pylist()), pa.string())

    def forget(self) -> None:
        """Clear the cache of names."""
        self._recall.cache_clear()

    def digest(self, data: bytes) -> str:
        """Keyed hash of bytes that must not be guessable from it."""
        keyed = self._keyed.copy()
        keyed.update(data)
        return keyed.hexdigest()

    def _pseudonym(self, name: str | None) -> str | None:
        plain = None if name is None else normalise(name)
        return self.digest(plain.encode()) if plain else None
