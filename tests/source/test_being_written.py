"""A file that is still being written is refused, and one without a line break at its end is not."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from debitura_pipeline.errors import SourceError
from debitura_pipeline.source.claims import CLAIMS
from debitura_pipeline.source.files import read_files
from debitura_pipeline.source.stamps import RECENT_S, SettledReader
from tests.source.rows import as_csv, claim_row


def claims_ending_with_amount() -> bytes:
    row = claim_row()
    row["amount"] = row.pop("amount")
    return as_csv([row]).rstrip().encode()


def as_parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([claim_row()]), out)
    return out.getvalue()


NDJSON = b"".join(b'{"external_tenant_id": "t", "creditor_reference": "%d"}\n' % number for number in range(9))


@pytest.mark.parametrize(
    ("content", "name"),
    [(claims_ending_with_amount(), "c.csv"), (NDJSON, "c.ndjson"), (as_parquet(), "c.parquet")],
)
@pytest.mark.parametrize("is_replaced", [False, True])
def test_what_is_written_between_two_looks_is_refused(
    tmp_path: Path, content: bytes, name: str, *, is_replaced: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(content[:-4])

    def write_on(_: float) -> None:
        if is_replaced:
            path.with_suffix(".new").write_bytes(content[:-4])
            path.with_suffix(".new").replace(path)
        else:
            path.write_bytes(content)

    with pytest.raises(SourceError, match=r"is being written\. Nothing was planned or sent\.") as raised:
        read_files(str(path), CLAIMS, SettledReader(sleep=write_on))
    assert "\n" not in str(raised.value)


def test_file_that_changes_while_it_is_read_is_refused_whatever_its_age(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_bytes(claims_ending_with_amount())

    def age() -> float:  # asked for once the bytes are read
        path.write_bytes(claims_ending_with_amount() + b"0")
        return time.time() + 60

    with pytest.raises(SourceError, match="is being written"):
        read_files(str(path), CLAIMS, SettledReader(clock=age, sleep=never))


def test_file_that_appears_while_others_are_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(claims_ending_with_amount())

    def another(_: float) -> None:
        (tmp_path / "2.csv").write_bytes(claims_ending_with_amount())

    with pytest.raises(SourceError, match="is being written"):
        read_files(f"{tmp_path}/*.csv", CLAIMS, SettledReader(sleep=another))


def test_quiet_file_is_read_at_once_also_without_a_line_break_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "claims.csv").write_bytes(claims_ending_with_amount())
    reader = SettledReader(clock=lambda: time.time() + RECENT_S, sleep=never)
    (row,) = read_files(f"{tmp_path}/claims.csv", CLAIMS, reader).rows
    assert (row.values["amount"], row.faults) == ("1250.50", ())


def never(_: float) -> None:
    raise AssertionError("must not wait")


def test_fresh_file_costs_one_second_look(tmp_path: Path) -> None:
    (tmp_path / "claims.csv").write_bytes(claims_ending_with_amount())
    slept: list[float] = []
    pause: Callable[[float], None] = slept.append
    assert len(read_files(f"{tmp_path}/claims.csv", CLAIMS, SettledReader(sleep=pause)).rows) == 1
    assert slept == [1.0]
