"""A sync's journal: lines of every version are read, and damage is one error that quotes no value."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from debitura_pipeline.errors import JournalDamaged
from debitura_pipeline.extract.window_record import VerifiedWindow
from debitura_pipeline.landing.journal import read_journal
from debitura_pipeline.landing.journal_lines import JOURNAL, Begin, End, Merged, WindowLine, encode

# As version 0.1.0 wrote them.
BEGIN = (
    '{"line":"begin","sync_id":"20260105T020010Z-cases-f86af9","resource":"cases","mode":"full",'
    '"at":"2026-01-05T02:00:10.052103+00:00","upper_bound":"2026-01-05T02:00:10.052103+00:00","tenant":null,'
    '"partner":["PayWhenPaid","50"]}'
)
WINDOW = (
    '{"line":"window","name":"2025","start":"2025-01-01T00:00:00+00:00","end":null,"filters":[["Lifecycles","1"]],"seq":1,'
    '"api":{"count":2,"summary":{"Pending":[2,"12.5000"],"Paid":[0,null]}},"rows":2,"distinct":2,"attempts":1,'
    '"file":"000001.parquet","sha256":"ab","bad":[{"payload_sha256":"cd","row_key":null,"reason":"no id","payload":"{}"}],'
    '"drift":[{"kind":"field","field":"x","value":null}],"stretches":[["2025-01-01T00:00:00+00:00",null,2,"answer"]]}'
)
END = (
    '{"line":"end","windows":[1],"api":{"count":2,"summary":{}},"mode":"full","gone":[],"finished_at":'
    '"2026-01-05T02:00:11+00:00","requests":3,"retries":0,"message":null}'
)
MERGED = '{"line":"merged","at":"2026-01-05T02:00:12+00:00"}'


def journal(folder: Path, *lines: str, rest: str = "") -> Path:
    path = folder / JOURNAL
    path.write_text("".join(f"{line}\n" for line in lines) + rest)
    return path


def test_the_lines_of_version_0_1_are_read(tmp_path: Path) -> None:
    """Past certificates stay what they are, and an interrupted sync is resumed after an upgrade."""
    found = read_journal(journal(tmp_path, BEGIN, WINDOW, END, MERGED, rest='{"line":"mer'))
    begin, window, end, merged = found.lines
    assert isinstance(begin, Begin) and isinstance(window, WindowLine)
    assert isinstance(end, End) and isinstance(merged, Merged)
    assert begin.began_at == datetime(2026, 1, 5, 2, 0, 10, 52103, tzinfo=UTC)
    assert begin.scope is None
    assert end.is_settled and end.failed == {}
    assert found.certified == sum(len(line) + 1 for line in (BEGIN, WINDOW, END))
    verified = VerifiedWindow.from_line(window)
    assert verified.totals.summary["Pending"].usd is not None
    assert VerifiedWindow.from_line(verified.as_line()) == verified


def test_what_is_written_is_read(tmp_path: Path) -> None:
    lines = read_journal(journal(tmp_path, BEGIN, WINDOW, END, MERGED)).lines
    again = journal(tmp_path, *(encode(line).decode() for line in lines))
    assert read_journal(again).lines == lines


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ((WINDOW,), "line 1 is not `begin`"),
        ((BEGIN, BEGIN), "line 2 begins once more"),
        ((BEGIN, END, WINDOW), "line 3 is a `window` after the end"),
        ((BEGIN, "Jane Doe"), "line 2 is not a line of a journal"),
        ((BEGIN, "[" * 100_000), "line 2 is not a line of a journal"),
        ((BEGIN.replace('"at":"2026', '"at":"0001'),), "line 1 "),
        ((BEGIN.replace('"cases"', '["Jane Doe"]'),), "line 1 lacks a sound `resource`"),
        ((BEGIN, WINDOW.replace("000001.parquet", "../Jane Doe")), "line 2 "),
        ((BEGIN, WINDOW.replace('"seq":1', '"seq":-1')), "line 2 lacks a sound `seq`"),
        ((BEGIN, WINDOW.replace('"rows":2', '"rows":true')), "line 2 lacks a sound `rows`"),
        ((BEGIN, END.replace('"requests":3', '"requests":"Jane Doe"')), "line 2 lacks a sound `requests`"),
    ],
)
def test_damage_is_one_error_without_a_value(tmp_path: Path, lines: tuple[str, ...], fault: str) -> None:
    with pytest.raises(JournalDamaged, match="is damaged: ") as caught:
        read_journal(journal(tmp_path, *lines))
    assert fault in str(caught.value)
    assert "Jane" not in str(caught.value)
    assert "`debitura repair`" in str(caught.value)
