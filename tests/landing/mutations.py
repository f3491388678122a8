"""Pages spoilt at random: values of any kind in any field, names twice or respelt, rows that are none, bytes exchanged.

Belongs here: Hypothesis strategies of rows' JSON text. Does not: what must hold of them.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.landing.rows import MAKERS, to_json

# JSON texts, and texts that are none, by sort, so that each sort is met as often. Brackets and quotes all have their other half.
ODD_VALUES = {
    "plain": [b"null", b"true", b"false", b"tru", b'""', b'" "', b"[]", b"{}"],
    "numbers": [
        b"0", b"-0.0", b"17", b"0.1", b"1.5e3", b"1e400", b"-1e999999", b"1e99999999999999999999", b"12345678901234567890",
        b"4570123456", b"9" * 5_000, b"-" + b"9" * 400, b"0." + b"3" * 400, b"01", b"1.", b"+1", b'"0"', b'"12.50"', b'"1,5"',
    ],
    "no numbers": [b"NaN", b"Infinity", b"-Infinity", b'"NaN"', b'"abc"', b'"true"', b'"1.234,56"'],
    "letters": [
        b'"a\\u0000b"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\xff"', b'"\xc3\xa6"', b'"\xe2\x80\xaeabc"',
        b'"a\nb"', b'"\\x"', b'"\\u12"',
    ],
    "persons": [b'"zelda@firma.example"', b'"+45 70 12 34 56"', b'"Zelda Holm"', b'"Escalated To Ombudsman"'],
    "dates": [
        b'"2026-01-05"', b'"2026-01-05T02:00:00Z"', b'"2026-02-30T00:00:00"', b'"0001-01-01T00:00:00+01:00"', b'"0000-01-01"',
        b'"9999-12-31T23:59:59.9999999-01:00"', b'"2026-01-05T24:00:00Z"', b'"2026-01-05T02:00:60Z"', b'"2026-01-05 02:00"',
        b'"20260105"', b'"2026-01-05T02:00:00.1234567891Z"', b'"2026-01-05T02:00:00,5Z"', b'"2026-W01-1"',
        b'"2026-01-05T02:00:00+0100"', b'"2026-01-05t02:00:00z"',
    ],
    "ids": [
        b'"7D0C2F5E-1A0B-4C55-9D7F-0F6B8F1F2A10"', b'"7d0c2f5e1a0b4c559d7f0f6b8f1f2a10"', b'"7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a1g"',
    ],
    "nested": [
        b"[[]]", b"[null]", b'[1,"a",{}]', b'{"a":1,"a":2}', b'{"":1}', b'{"Zelda Holm":{"b":[{}]}}', b'{"a":{"b":NaN}}',
    ],
    "deep": [
        b"[" * 62 + b"]" * 62, b"[" * 63 + b"]" * 63, b"[" * 64 + b"]" * 64, b'{"a":' * 62 + b"[]" + b"}" * 62,
        b'{"a":' * 63 + b"1" + b"}" * 63, b"[" * 900 + b"]" * 900, b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    ],
}  # fmt: skip
ODD_NAMES = [
    "", " ", "id", "Id", "extra", "_seq", "Zelda Holm", "zelda.holm", "ZeldaSix", "a" * 300, "\u202e", "\0", "æ", "note",
    "rows", "data",
]  # fmt: skip

values = st.sampled_from(list(ODD_VALUES)).flatmap(lambda sort: st.sampled_from(ODD_VALUES[sort]))
names = st.sampled_from(ODD_NAMES) | st.text(st.characters(codec="utf-8"), max_size=6)
few = st.sampled_from(
    [1, 1, 1, 2, 3]
)  # one alone mostly: the first that is odd sends the whole page to the slow parser
Pairs = list[tuple[str, Any]]


def _pairs(value: Any) -> Any:
    """Objects as lists of pairs, so that a name may come twice."""
    return [(name, _pairs(inner)) for name, inner in value.items()] if isinstance(value, dict) else value


def _is_object(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, tuple) for item in value)


def _text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if _is_object(value):
        return b"{" + b",".join(json.dumps(name).encode() + b":" + _text(inner) for name, inner in value) + b"}"
    return to_json(value).encode()


def _places(fields: Pairs) -> list[tuple[Pairs, int]]:
    """Every field of a row, whatever object it stands in."""
    found = []
    for index, (_, value) in enumerate(fields):
        found += [(fields, index), *(_places(value) if _is_object(value) else ())]
    return found


def _mutate(draw: st.DrawFn, row: Pairs) -> None:
    fields, index = draw(st.sampled_from(_places(row)))
    name, value = fields[index]
    kind = draw(st.sampled_from(["value", "value", "value", "gone", "twice", "respelt", "new", "new"]))
    if kind == "value":
        fields[index] = (name, draw(values))
    elif kind == "gone" and len(fields) > 1:
        del fields[index]
    elif kind == "twice":
        fields.insert(draw(st.integers(0, len(fields))), (name, draw(values)))
    elif kind == "respelt":
        fields[index] = (draw(st.sampled_from([name.upper(), name[:1].upper() + name[1:], name.lower()])), value)
    elif kind == "new":
        fields.insert(draw(st.integers(0, len(fields))), (draw(names), draw(values)))


def _spoilt(draw: st.DrawFn, resource: str, number: int) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return draw(values)
    row = fresh(resource, number)
    for _ in range(draw(few)):
        _mutate(draw, row)
    text = _text(row)
    if draw(st.integers(0, 7)) == 0:  # any byte for another: mostly no JSON any more
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 2)) :]
    return text


def fresh(resource: str, number: int) -> Pairs:
    """A good row of its own key, as pairs."""
    row, key = MAKERS[resource](), f"00000000-0000-4000-8000-{number:012d}"
    (row["client"] if resource == "clients" else row)["transactionId" if resource == "transactions" else "id"] = key
    pairs: Pairs = _pairs(row)
    return pairs


@st.composite
def pages(draw: st.DrawFn, resource: str, rows_key: str) -> tuple[bytes, list[bytes], int]:
    """A page's body, its good rows, and how many rows it has; where a row breaks the outline, fewer or none."""
    good = [_text(fresh(resource, number)) for number in range(draw(st.integers(0, 3)))]
    spoilt = [_spoilt(draw, resource, 100 + number) for number in range(draw(few))]
    rows = draw(st.permutations([*good, *spoilt]))
    paging = to_json(
        {"totalResults": len(rows), "pageSize": 100, "currentPage": 1, "responseCount": len(rows)}
    ).encode()
    return b'{"page":%b,"%b":[%b],"summary":{}}' % (paging, rows_key.encode(), b",".join(rows)), good, len(rows)
