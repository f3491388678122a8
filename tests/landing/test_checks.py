"""Ids and instants in bulk: the quick look at a whole column and the careful one at each value must agree."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.landing.validators import check_ids, check_instants
from tests.landing.rows import ids, instants

ODD = "no instant at all"  # sends the whole column down the careful way
DATE_LIKE = r"[0-2]\d{3}-?[01]\d-?\d\d"
TIME_LIKE = r"([0-2]\d:?[0-6]\d(:?[0-6]\d)?)?(\.\d{0,10})?(Z|z|[+-]\d\d(:?\d\d)?)?"
nearly_instants = st.from_regex(f"{DATE_LIKE}[T t]?{TIME_LIKE}", fullmatch=True)


def _read(texts: list[str | None]) -> tuple[list[Any], list[bool]]:
    values, wrong = check_instants(pa.array(texts, pa.string()))
    return values.to_pylist(), [False] * len(texts) if wrong is None else wrong.tolist()


@settings(deadline=None)
@given(st.lists(st.none() | instants | nearly_instants, max_size=3))
def test_an_instant_reads_the_same_whatever_stands_beside_it(texts: list[str | None]) -> None:
    values, wrong = _read(texts)
    careful, careful_wrong = _read([*texts, ODD])

    assert values == careful[:-1]
    assert wrong == careful_wrong[:-1]
    assert careful_wrong[-1]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-05T02:00:00.1234567Z", datetime(2026, 1, 5, 2, 0, 0, 123456, UTC)),
        ("2026-01-05T02:00:00.9999999", datetime(2026, 1, 5, 2, 0, 0, 999999, UTC)),
        ("1969-12-31T23:59:59.9999999Z", datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
        ("2026-01-05T02:00:00.5+05:30", datetime(2026, 1, 4, 20, 30, 0, 500000, UTC)),
        ("2026-01-05T02:00:00-0800", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2026-01-05 02:00", datetime(2026, 1, 5, 2, tzinfo=UTC)),
        ("2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
        ("0001-01-01T00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.9999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
    ],
)
@pytest.mark.parametrize("beside", [[], [ODD]], ids=["in bulk", "one by one"])
def test_instants_worked_by_hand(text: str, instant: datetime, beside: list[str]) -> None:
    assert _read([text, *beside])[0][0] == instant


NO_INSTANTS = (
    "", "Z", "0000-01-01T00:00:00Z", "20260105T020000Z", "2026-01-05T02:00:00ZZ", "2026-01-05Z", "infinity", "2026-W01-1",
    "1767578400", " 2026-01-05",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_INSTANTS)
def test_what_is_no_instant_is_pointed_at(text: str) -> None:
    assert _read([text]) == ([None], [True])
    assert _read([text, ODD]) == ([None, None], [True, True])


@settings(deadline=None)
@given(st.lists(st.none() | ids | st.text(max_size=40), max_size=4))
def test_ids_are_lower_case_uuids_or_pointed_at(texts: list[str | None]) -> None:
    values, wrong = check_ids(pa.array(texts, pa.string()))

    for index, text in enumerate(texts):
        is_wrong = wrong is not None and bool(wrong[index])
        assert is_wrong or values[index].as_py() == (None if text is None else text.lower())
        assert is_wrong == (text is not None and (len(text) != 36 or text.count("-") != 4))


def test_a_sliced_column_is_checked_where_it_is() -> None:
    column = pa.array(["zzz", "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77", None, "zzz"])

    assert check_ids(column.slice(1, 2))[1] is None
