"""Cutting JSON by brackets and quotes: the same values as a parser finds, and nothing of a text that is cut off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.api.json_scan import OutlineError, check_one_value, depth, elements, members

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
documents: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


def written(document: Any, indent: int | None) -> bytes:
    return json.dumps(document, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")


def nesting(document: Any) -> int:
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else None
    return 0 if inner is None else 1 + max(map(nesting, inner), default=0)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), documents), st.sampled_from([None, 0, 2]))
def test_members_are_those_that_a_parser_finds(document: dict[str, Any], indent: int | None) -> None:
    body = written(document, indent)
    assert {name: json.loads(value) for name, value in members(body).items()} == document
    assert depth(body) == nesting(document)
    check_one_value(body)


@settings(deadline=None, max_examples=50)
@given(st.lists(documents), st.sampled_from([None, 0, 2]))
def test_elements_are_those_that_a_parser_finds(document: list[Any], indent: int | None) -> None:
    assert [json.loads(value) for value in elements(written(document, indent))] == document


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), documents, min_size=1))
def test_every_cut_is_noticed(document: dict[str, Any]) -> None:
    body = written(document, None)
    for end in range(0, len(body), 1 + len(body) // 50):
        with pytest.raises(OutlineError):
            members(body[:end])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[1]", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":1 "b":2}', b'{"a":1}x', b"{,}", b'{"a":1,,"b":2}', b'{"a":[}',
        b'{"a":"x}', b'{"a":1]', b'{"a":1,"b"}', b'{"a":1,"b":}', b"{a:1}", b'{"a" 1:2}', b'{"a":[1][2]}', b'{"a":1}{"b":2}',
    ],
)  # fmt: skip
def test_what_is_no_object_by_its_outline_is_refused(body: bytes) -> None:
    with pytest.raises(OutlineError):
        members(body)


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[,]", b"[1,]", b"[1 2]", b"[,1]", b"[1][2]", b'["]', b"[}", b"[1:2]", b"[1,,2]", b"{}"]
)
def test_what_is_no_array_by_its_outline_is_refused(body: bytes) -> None:
    with pytest.raises(OutlineError):
        elements(body)


def test_depth_and_length_have_no_bound() -> None:
    """A parser that recurses ends the process, or its own limit, here."""
    deep = b"[" * 1_000_000 + b"]" * 1_000_000
    assert members(b'{"a":NaN,"b":' + deep + b',"a":"\xff"}') == {"a": b'"\xff"', "b": deep}
    assert depth(deep) == 1_000_000
    assert len(elements(b'["' + b"\\u0041" * 1_000_000 + b'"]')) == 1
