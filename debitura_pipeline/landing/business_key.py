"""Partner keys (tenant id, creditor reference) as stored: unchanged, or a pseudonym if they contain contact data.

`tenants.py` resolves a pseudonym to the original tenant id for requests.
"""

from __future__ import annotations

import re
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.settings import Privacy, Settings

PREFIX = "hashed-"
_HEX_DIGITS = 32
_PSEUDONYM = re.compile(rf"{PREFIX}[0-9a-f]{{{_HEX_DIGITS}}}")
_EMAIL = re.compile(r"[^\s@]+(@|%40)[^\s@]+\.[^\s@]{2,}", re.IGNORECASE)
# An international number anywhere, or a text that is nothing but a number in groups. Digits alone are invoice numbers.
_INTERNATIONAL = re.compile(r"(?<!\w)\+[1-9][\d ()./-]{6,20}\d(?!\d)")
_WITH_ZEROS = re.compile(r"(?<!\d)00[1-9][0-9]{9,12}(?!\d)")
_GROUPED = re.compile(r"(?:tel\W{0,2})?\(?\d{2,4}\)?(?:[ .]\d{2,4}){2,6}", re.IGNORECASE)
_PHONE_DIGITS = range(8, 16)
# A text without any of these holds neither: an address or `+`, a number from its zeros on, or digits in groups from the start.
_SIGNS = ("@", "%40", "+")
_BEGINNINGS = ("00[1-9][0-9]{9}", r"^[\s\pZ]*(?:[Tt][Ee][Ll]\W{0,2})?\(?\pN{2,4}\)?[ .]")


def contains_plain_contact(text: str) -> bool:
    """Whether a text contains an e-mail address or a number starting with `+`, which no company's name does."""
    return _EMAIL.search(text) is not None or _INTERNATIONAL.search(text) is not None


def contains_contact(text: str) -> bool:
    """Whether a key contains an e-mail address or a phone number in any notation."""
    if contains_plain_contact(text) or _WITH_ZEROS.search(text):
        return True
    return _GROUPED.fullmatch(text.strip()) is not None and sum(map(str.isdigit, text)) in _PHONE_DIGITS


def is_pseudonym(text: str) -> bool:
    """Whether a stored key is a pseudonym, which the API does not know."""
    return _PSEUDONYM.fullmatch(text) is not None


class BusinessKeys:
    """Keys as stored. In `full` mode they are unchanged."""

    def __init__(self, pseudonyms: Pseudonyms, privacy: Privacy) -> None:
        self._pseudonyms, self._is_full = pseudonyms, privacy == "full"

    @classmethod
    def from_settings(cls, settings: Settings) -> BusinessKeys:
        """Use the privacy mode and key of `settings`. Raises SettingsError if there is no usable privacy key."""
        return cls(Pseudonyms(settings.obtain_privacy_key()), settings.privacy)

    def stored(self, text: str) -> str:
        """`text`, or its pseudonym if it contains contact data. The same text always gives the same pseudonym."""
        if self._is_full or not contains_contact(text):
            return text
        digest = self._pseudonyms.digest(b"business key:" + text.encode("utf-8", "surrogatepass"))
        return PREFIX + digest[:_HEX_DIGITS]

    def of(self, texts: pa.Array) -> pa.Array:
        """A column of keys as stored."""
        if self._is_full:
            return texts
        masks = [pc.match_substring(texts, sign) for sign in _SIGNS]
        masks += [pc.match_substring_regex(texts, beginning) for beginning in _BEGINNINGS]
        suspects = np.flatnonzero(reduce(pc.or_, masks).fill_null(False))
        if not suspects.size:
            return texts
        values = texts.to_pylist()
        for row in suspects.tolist():
            values[row] = self.stored(values[row])
        return pa.array(values, pa.string())


def may_contain_contact(texts: pa.Array) -> bool:
    """Whether a text column contains `@`, `%` or `+`; scans its bytes."""
    buffer = texts.buffers()[2]
    if buffer is None:
        return False
    letters = np.frombuffer(buffer, np.uint8)
    return any(bool((letters == ord(letter)).any()) for letter in "@%+")
