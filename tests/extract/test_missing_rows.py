"""Rows of many clients that a reading lacks: the listing is read again, and what it shows then was not deleted."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from debitura_pipeline.contract.listings import CASES
from debitura_pipeline.extract import reader as read
from debitura_pipeline.extract.landed_rows import UnseenRow
from debitura_pipeline.landing.journal_lines import Begin
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.reconcile.missing_rows import FEW_ROWS, MAX_REQUESTED_ROWS, MissingRowResolver, Resolution
from tests.extract.listed import Case, Deviations, Listed, moved
from tests.extract.test_keyset import AT, EVERYTHING, START, hourly, keys_of, proven
from tests.landing.rows import case_row
from tests.simulation.direct_client import Here

READING = 4  # requests for 350 rows
GONE = [Case(5_000 + number, START) for number in range(MAX_REQUESTED_ROWS + 50)]


def resolved(listed: Listed, folder: Path, unseen: list[Case], tenant: str | None = None) -> Resolution:
    """What became of `unseen`, each of another client or all of that with `tenant`, after `listed` was read."""
    begin = Begin(
        sync_id="one", resource="cases", mode="full", at=AT, upper_bound=AT, tenant=None, partner=(None, None)
    )
    transform_pool: Any = Here()
    client: Any = listed
    with PageTransformer("pseudonymous", b"a key of the tests") as transformer:
        reader = read.Reader(client, transformer, transform_pool, SyncFolder.create(folder, begin), CASES, AT)
        reader.whole = EVERYTHING

        async def work() -> Resolution:
            await reader.read([EVERYTHING])
            resolver = MissingRowResolver(reader, {"c": tenant} if tenant else {}, {"c": len(listed.rows) - 1})
            return await resolver.resolve([UnseenRow(row.key, row.at, "c" if tenant else row.key) for row in unseen])

        return asyncio.run(work())


def test_what_two_readings_lack_was_deleted(tmp_path: Path) -> None:
    listed = Listed(hourly(350))
    found = resolved(listed, tmp_path, GONE)
    assert (found.deleted, found.recovered, found.unresolved) == (keys_of(GONE), [], set())
    assert len(listed.requested) == 2 * READING, "the pages once more, instead of a request for each"


@pytest.mark.parametrize("alive", [(1,), (120, 121, 350)])
def test_what_the_second_reading_shows_was_not_deleted(tmp_path: Path, alive: tuple[int, ...]) -> None:
    listed = Listed(hourly(350))
    there = [row for row in listed.rows if row.number in alive]
    found = resolved(listed, tmp_path, [*GONE, *there])
    assert found.deleted == keys_of(GONE)
    assert len(found.recovered) == 1 and found.recovered[0].distinct == 350
    assert found.unresolved == set()


def test_second_reading_during_which_rows_move_settles_nothing(tmp_path: Path) -> None:
    """The row may have moved past it again."""
    listed = Listed(hourly(350))
    listed.between[READING + 2] = partial(moved, number=340, at=START)
    found = resolved(listed, tmp_path, GONE)
    assert (found.deleted, found.unresolved) == (set(), keys_of(GONE))


def test_a_row_in_whose_place_each_page_shows_another_one_twice_was_not_deleted(tmp_path: Path) -> None:
    """The row that was shown twice was taken for one without a key, so that all rows seemed to have been shown."""
    listed = Listed(hourly(350), Deviations(hidden=150))
    hidden = listed.rows[149].key
    baseline = tmp_path / "before.parquet"
    rows = ", ".join(f"('{row.key}', TIMESTAMPTZ '{row.at}', 'c')" for row in listed.rows)
    duckdb.sql(f"COPY (FROM (VALUES {rows}) AS v(key, created_at, creditor_id)) TO '{baseline}' (FORMAT parquet)")
    proof, keys, _ = proven(listed, tmp_path / "sync", baseline=baseline)
    assert hidden not in proof.deleted
    assert hidden in keys or (not proof.is_settled and proof.unproven)


def test_what_a_second_reading_hides_is_not_known_to_be_deleted(tmp_path: Path) -> None:
    """It counts as many rows as there are, and shows one fewer."""
    listed = Listed(hourly(350), Deviations(hidden=150))
    hidden = listed.rows[149]
    found = resolved(listed, tmp_path, [*GONE, hidden])
    assert hidden.key in found.unresolved and not found.deleted


def test_what_the_reading_of_a_client_hides_is_not_known_to_be_deleted(tmp_path: Path) -> None:
    listed = Listed(hourly(350), Deviations(hidden=150))
    hidden = listed.rows[149]
    tenant = str(case_row()["client"]["externalTenantId"])
    found = resolved(listed, tmp_path, [*GONE[: FEW_ROWS + 1], hidden], tenant)
    assert hidden.key in found.unresolved and not found.deleted


def test_what_the_reading_of_a_client_lacks_was_deleted(tmp_path: Path) -> None:
    listed = Listed(hourly(350))
    tenant = str(case_row()["client"]["externalTenantId"])
    found = resolved(listed, tmp_path, GONE[: FEW_ROWS + 1], tenant)
    assert found.deleted == keys_of(GONE[: FEW_ROWS + 1]) and not found.unresolved
