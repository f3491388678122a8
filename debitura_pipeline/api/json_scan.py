"""Split JSON into its values by brackets and quotes alone, without looking into them.

For bodies that a strict decoder rejects because of one value: a lone surrogate, `NaN`, nesting beyond its limit, invalid
UTF-8. Slower than the decoder (about 10 ms a page); not recursive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_BLANK = b" \t\r\n"
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_TOKEN = re.compile(_STRING + rb'|[\[\]{},:]|[^\s"\[\]{},:]+|"', re.DOTALL)
_NESTING = re.compile(_STRING + rb'|[\[\]{}]|"', re.DOTALL)
_SCALAR = re.compile(rb"-?(\d[\w.+-]*|Infinity|NaN)|true|false|null")
_CLOSER = {ord("{"): ord("}"), ord("["): ord("]")}
_QUOTE = ord('"')


class OutlineError(ValueError):
    """The text is truncated, or not JSON by its brackets, commas and quotes."""


def members(text: bytes) -> dict[str, bytes]:
    """Members of a JSON object: name -> value as written; the last one of a repeated name. Raises OutlineError."""
    tokens = list(_inside(text, ord("{")))
    if tokens:
        tokens.append(b",")  # each member then takes four tokens
    found = {}
    for start in range(0, len(tokens), 4):
        member = tokens[start : start + 4]
        if len(member) < 4 or member[0][0] != _QUOTE or member[1] != b":" or member[3] != b",":
            raise OutlineError("members are not separated as JSON requires")
        if not _is_value(member[2]):
            raise OutlineError("a member has no value")
        found[_name(member[0])] = member[2]
    return found


def elements(text: bytes) -> list[bytes]:
    """Values of a JSON array as written. Raises OutlineError."""
    tokens = list(_inside(text, ord("[")))
    values, commas = tokens[::2], tokens[1::2]
    if tokens and len(commas) != len(values) - 1:
        raise OutlineError("a comma ends the array")
    if not all(map(_is_value, values)) or any(comma != b"," for comma in commas):
        raise OutlineError("values are not separated as JSON requires")
    return values


def check_one_value(text: bytes) -> None:
    """Raises OutlineError unless the text is one JSON value by its structure."""
    values = elements(b"[" + text + b"]")
    if len(values) != 1 or not (values[0][:1] in (b"{", b"[", b'"') or _SCALAR.fullmatch(values[0])):
        raise OutlineError("not one value")


def depth(text: bytes) -> int:
    """Nesting depth of a value: 0 for a scalar, 1 for a flat object."""
    deepest = level = 0
    for match in _NESTING.finditer(text):
        letter = text[match.start()]
        if letter in b"{[":
            level += 1
            deepest = max(deepest, level)
        elif letter in b"}]":
            level -= 1
    return deepest


def _is_value(token: bytes) -> bool:
    return token not in (b",", b":")


def _name(token: bytes) -> str:
    text = token.decode("utf-8", "surrogateescape")
    try:
        return str(json.loads(text, strict=False))
    except ValueError:  # a wrong escape: no field that anybody knows
        return text[1:-1]


def _inside(text: bytes, opener: int) -> Iterator[bytes]:
    """Tokens of a container; each nested container is one token."""
    position, end = _skip_blank(text, 0), len(text.rstrip(_BLANK))
    if position >= end or text[position] != opener:
        raise OutlineError("another kind of value")
    position += 1
    while True:
        match = _TOKEN.match(text, _skip_blank(text, position))
        if match is None:
            raise OutlineError("cut off")
        start, letter = match.start(), text[match.start()]
        if letter == _CLOSER[opener]:
            if match.end() != end:
                raise OutlineError("something follows the end")
            return
        position = _end_of(text, start) if letter in _CLOSER else match.end()
        token = text[start:position]
        if token in (b"}", b"]", b'"'):
            raise OutlineError("brackets or quotes do not pair")
        yield token


def _end_of(text: bytes, start: int) -> int:
    """The position after the container that opens at `start`."""
    closers = bytearray()
    for match in _NESTING.finditer(text, start):
        letter = text[match.start()]
        if letter in _CLOSER:
            closers.append(_CLOSER[letter])
        elif letter != _QUOTE:
            if closers.pop() != letter:
                break
            if not closers:
                return match.end()
        elif match.end() - match.start() == 1:
            break
    raise OutlineError("brackets or quotes do not pair")


_BLANKS = re.compile(rb"[ \t\r\n]*")


def _skip_blank(text: bytes, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position
