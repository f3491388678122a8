"""A column of keys is screened at once: whatever it passes over must be what the rule for one key passes over."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.landing.business_key import PREFIX, BusinessKeys
from debitura_pipeline.landing.pseudonyms import Pseudonyms

KEYS = BusinessKeys(Pseudonyms(b"a key for tests only"), "pseudonymous")
CONTACTS = (
    "anna@firma.example", "anna%40firma.example", "+45 12 34 56 78", "ref +4512345678", "0045123456789", "x-0045123456789",
    "12 34 56 78", "  12.34.56.78", "(12) 34 56 78", "tel: 12 34 56 78", "\u00a012 34 56 78", "\u0661\u0662 34 56 78",
)  # fmt: skip
PLAIN = ("INV-2026-17", "tenant 042", "12345678", "A 12.5", "2026.1", "", "Invoice 12 of 34")
letters = st.text(st.sampled_from("0123456789 .()+@%-telx\u00a0\u0661"), max_size=22)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.none() | letters | st.sampled_from(CONTACTS + PLAIN), max_size=30))
def test_a_column_is_stored_as_its_keys_are_one_by_one(texts: list[str | None]) -> None:
    stored = KEYS.of(pa.array(texts, pa.string())).to_pylist()
    assert stored == [None if text is None else KEYS.stored(text) for text in texts]


def test_contacts_are_hashed_and_other_keys_stay() -> None:
    assert all(KEYS.stored(text).startswith(PREFIX) for text in CONTACTS)
    assert [KEYS.stored(text) for text in PLAIN] == list(PLAIN)
