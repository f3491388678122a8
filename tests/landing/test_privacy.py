"""No personal text may leave the shaper: not in a file, a bad row, or drift. Damage if it breaks: a leak to the disk."""

from __future__ import annotations

import hmac
import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.landing.contract import TABLES
from debitura_pipeline.landing.pseudonym import Pseudonyms
from debitura_pipeline.landing.redact import is_code
from debitura_pipeline.landing.shape import Shaped, Shaper
from tests.landing.rows import KEY, MAKERS, PERSONAL_TEXTS, case_row, page

SECRETS = {
    "assignedUserEmail": "vibeke.lund@firma.example",
    "caseHandler": "Vibeke Lund",
    "callbackNumber": "+45 70 12 34 56",
    "portal": "https://portal.example/l/Qx7Zt",
    "remarks": ["Vibeke Lund called"],
    "nested": {"ownerName": "Lund", "deep": [{"iban": "DK5000400440116243", "text": "Ring Vibeke"}], "Vibeke Lund": 1},
    "Vibeke.Lund@firma.example": "ok",
    "debtorAlias": "Vibs",
    "phone": 4570123456,
    "line": 4570123457,
    "handledBy": "Lund",
}
SECRET_TEXTS = ("ibeke", "Lund", "70 12 34", "Qx7Zt", "firma.example", "DK5000400440116243", "Vibs", "457012345")


def _everything(shaped: Shaped, path: Path) -> bytes:
    shaped.write(path, 1)
    values = json.dumps(shaped.columns.to_pylist(), default=str, ensure_ascii=False)
    said = repr(shaped.bad) + repr(shaped.drift) + values
    return path.read_bytes() + said.encode() + repr(shaped.bad).encode("unicode_escape")


def _assert_silent(content: bytes) -> None:
    for text in (*PERSONAL_TEXTS, *SECRET_TEXTS, KEY.decode()):
        for form in (text, json.dumps(text).strip('"'), unicodedata.normalize("NFD", text)):
            assert form.encode() not in content, text


@pytest.mark.parametrize("resource", TABLES)
@pytest.mark.parametrize("canonical", [True, False], ids=["fast", "slow"])
def test_no_personal_text_is_written(resource: str, canonical: bool, tmp_path: Path) -> None:
    row = MAKERS[resource](**SECRETS)
    if "debtor" in row:
        row["debtor"] = {**row["debtor"], "nickname": "Vibs", "born": "1971-08-19"}
    with Shaper("pseudonymous", KEY) as shaper:
        shaped = shaper.shape(resource, [page(resource, [row])], canonical=canonical)

    assert shaped.good == 1
    _assert_silent(_everything(shaped, tmp_path / "window.parquet"))


FAULTS: list[dict[str, Any]] = [
    {"id": "Vibeke Lund"},
    {"grossAmount": "Vibeke Lund"},
    {"dateCreated": "Vibeke Lund"},
    {"dueDate": "70 12 34 56"},
    {"validation": "Vibeke Lund"},
    {"validation": {"needsInfo": "Vibeke Lund"}},
    {"reference": {"by": "Vibeke Lund"}},
    {"debtor": "Vibeke Lund"},
    {"debtor": ["Vibeke Lund"]},
    {"client": "Vibeke Lund"},
    {"client": {"creditorId": "vibeke.Lund@firma.example", "contacts": "Vibeke Lund", "Contacts": "Lund"}},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: json.dumps(fault)[:40])
def test_no_personal_text_is_kept_of_a_bad_row(fault: dict[str, Any], tmp_path: Path) -> None:
    row = case_row(**SECRETS, **fault)
    with Shaper("full", KEY) as shaper:
        shaped = shaper.shape("cases", [page("cases", [row, "Vibeke Lund", ["Sigrid Falk"]])])

    assert len(shaped.bad) == 3
    _assert_silent(_everything(shaped, tmp_path / "window.parquet"))


def test_only_privacy_full_writes_the_debtors_name_and_nothing_else(tmp_path: Path) -> None:
    with Shaper("full", KEY) as shaper:
        shaped = shaper.shape("cases", [page("cases", [case_row()])])
    content = _everything(shaped, tmp_path / "window.parquet")

    assert shaped.columns["debtor_name"].to_pylist() == ["Åse  Bjørnsdóttir"]
    for text in set(PERSONAL_TEXTS) - {"Åse", "Bjørnsdóttir"}:
        assert text.encode() not in content


def test_shaped_windows_do_not_show_rows_in_their_text() -> None:
    """A traceback or a log line with the object in it must not print what it holds."""
    with Shaper("full", KEY) as shaper:
        shaped = shaper.shape("cases", [page("cases", [case_row()])])

    assert "Bjørnsdóttir" not in repr(shaped)


def _keys(key: bytes, names: list[str | None]) -> list[str | None]:
    keys: list[str | None] = Pseudonyms(key).of(pa.array(names, pa.string())).to_pylist()
    return keys


@settings(deadline=None)
@given(
    key=st.binary(min_size=1, max_size=100), name=st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1)
)
def test_pseudonym_is_pythons_hmac_sha256(key: bytes, name: str) -> None:
    assert _keys(key, [name]) == [hmac.digest(key, name.encode(), "sha256").hex()]


def test_spellings_of_one_name_share_a_key_and_blank_names_have_none() -> None:
    names = ["Åse Holm", "A\u030ase  holm ", "\u00a0ÅSE\tHOLM", "Aase Holm", None, "", " \u2003 "]
    first, second, third, other, *blank = _keys(KEY, names)

    assert first == second == third != other
    assert blank == [None, None, None]


def test_an_empty_privacy_key_is_refused() -> None:
    with pytest.raises(ValueError, match="privacy key"):
        Shaper("pseudonymous", b"")


@pytest.mark.parametrize(
    "text", ["portal", "A-12", "2026-01-05", "2026-01-05T02:00:00Z", "v1.2", "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10"]
)
def test_codes_are_kept(text: str) -> None:
    assert is_code(text)


@pytest.mark.parametrize(
    "text",
    [
        "Tue Holm",
        "tue.holm",
        "a@b.example",
        "www.x.y",
        "x.com",
        "https://x",
        "+4570123456",
        "70123456",
        "Åse",
        "",
        "x" * 41,
    ],
)
def test_what_may_be_personal_is_no_code(text: str) -> None:
    assert not is_code(text)
