"""A certificate that is missing, cut, edited or exchanged is found; `replay` touches nothing then. `repair` is the way out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from debitura_pipeline.errors import JournalDamaged, LandingError, WarehouseDamaged
from debitura_pipeline.landing.journal_lines import JOURNAL
from debitura_pipeline.landing.landing_zone import SyncFolder, folder_paths, sync_folders
from debitura_pipeline.sync import check_certificates, read_status, repair, replay
from tests.support.command import debitura
from tests.support.day import of_the_day
from tests.support.pipeline import Pipeline
from tests.support.postgres import Database
from tests.support.sandbox import RunningSandbox, start_sandbox

NIGHTS = 3


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=4, cases=90, transactions=120, seed=5, no_rate_limit=True)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def template(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory after three nights."""
    folder = tmp_path_factory.mktemp("nights") / "data"
    for _ in range(NIGHTS):
        Pipeline(folder, sandbox).sync()
        sandbox.admin("advance", {"days": 1})
    return folder


@pytest.fixture
def pipeline(template: Path, sandbox: RunningSandbox, tmp_path: Path) -> Pipeline:
    shutil.copytree(template, tmp_path / "data")
    return Pipeline(tmp_path / "data", sandbox)


def cases(pipeline: Pipeline) -> list[SyncFolder]:
    return list(sync_folders(pipeline.settings.landing_dir, "cases"))


def faults(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    return {found.sync_id: found.faults for found in check_certificates(pipeline.settings).findings if found.faults}


def remove_folder(pipeline: Pipeline) -> None:
    shutil.rmtree(cases(pipeline)[1].path)


def remove_newest(pipeline: Pipeline) -> None:
    shutil.rmtree(cases(pipeline)[-1].path)


def remove_journal(pipeline: Pipeline) -> None:
    (cases(pipeline)[1].path / JOURNAL).unlink()


def remove_all(pipeline: Pipeline) -> None:
    shutil.rmtree(pipeline.settings.landing_dir)


def cut_end(pipeline: Pipeline) -> None:
    rewrite(cases(pipeline)[1], lambda lines: [line for line in lines if line["line"] not in ("end", "merged")])


def cut_end_alone(pipeline: Pipeline) -> None:
    rewrite(cases(pipeline)[1], lambda lines: [line for line in lines if line["line"] != "end"])


def edit(pipeline: Pipeline) -> None:
    """Five rows out of the file, its hash and every count made to fit."""
    folder = cases(pipeline)[1]
    (window,) = [line for line in folder.windows if folder.end is not None and line.seq in folder.end.windows]
    assert window.file is not None and window.sha256 is not None
    sha256, path = window.sha256, folder.path / window.file
    pq.write_table(pq.read_table(path).slice(5), path)

    def fewer(lines: list[dict[str, object]]) -> list[dict[str, object]]:
        text = json.dumps(lines, separators=(",", ":"))
        count = window.distinct
        text = text.replace(sha256, hashlib.sha256(path.read_bytes()).hexdigest())
        return list(json.loads(text.replace(f":{count},", f":{count - 5},").replace(f":{count}}}", f":{count - 5}}}")))

    rewrite(folder, fewer)


def exchange(pipeline: Pipeline) -> None:
    """Two nights' folders under each other's name, journals and all."""
    first, second = (folder.path for folder in cases(pipeline)[:2])
    first.rename(first.with_name("between"))
    second.rename(first)
    first.with_name("between").rename(second)


def exchange_whole(pipeline: Pipeline) -> None:
    """The same, with the ids in the journals made to fit."""
    first, second = cases(pipeline)[:2]
    exchange(pipeline)
    for folder, path in ((first, second.path), (second, first.path)):
        moved = SyncFolder.load(path)
        name = path.name.removeprefix("sync=")
        rewrite(moved, lambda lines, name=name: [{**lines[0], "sync_id": name}, *lines[1:]])  # type: ignore[misc]
        assert folder.lines


def flip_a_bit(pipeline: Pipeline) -> None:
    path = next(cases(pipeline)[1].path.glob("*.parquet"))
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def rewrite(folder: SyncFolder, change: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> None:
    lines = [json.loads(line) for line in (folder.path / JOURNAL).read_text().splitlines()]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in change(lines))
    (folder.path / JOURNAL).write_text(text)


DAMAGES = [
    remove_folder, remove_newest, remove_journal, remove_all, cut_end, cut_end_alone, edit, exchange, exchange_whole, flip_a_bit,
]  # fmt: skip


@pytest.mark.parametrize("damage", of_the_day(DAMAGES, 4), ids=lambda damage: damage.__name__)
def test_damage_is_found_replay_refuses_and_repair_is_a_way_on(
    pipeline: Pipeline, damage: Callable[[Pipeline], None]
) -> None:
    """Replayed all the same, rows and history would be gone, with exit status 0."""
    assert not faults(pipeline)
    before = pipeline.state()
    damage(pipeline)
    found = faults(pipeline)
    assert found
    with pytest.raises(LandingError, match=r"Nothing was touched.*sync \d{8}T.*debitura repair"):
        replay(pipeline.settings)
    assert pipeline.state() == before
    planned = repair(pipeline.settings, apply=False)
    assert {one.sync_id for one in planned} >= set(found) and faults(pipeline) == found, "only said"
    repair(pipeline.settings, apply=True)
    assert not faults(pipeline)
    assert any("accepted" in note for note in check_certificates(pipeline.settings).notes)
    assert repair(pipeline.settings, apply=False) == []
    assert pipeline.state() == before
    pipeline.sync(full=True)
    live = {name: pipeline.records(name) for name in ("clients", "cases", "transactions")}
    replay(pipeline.settings)
    assert {name: pipeline.records(name) for name in live} == live
    assert not faults(pipeline)


@pytest.mark.parametrize("damage", of_the_day([remove_folder, cut_end_alone, edit, exchange_whole], 2))
def test_the_chain_holds_without_the_warehouse(pipeline: Pipeline, damage: Callable[[Pipeline], None]) -> None:
    """All but the newest certificates are held by the one after them."""
    assert pipeline.settings.warehouse.path is not None
    pipeline.settings.warehouse.path.unlink()
    assert not faults(pipeline)
    assert any("no warehouse" in note for note in check_certificates(pipeline.settings).notes)
    damage(pipeline)
    assert faults(pipeline)
    with pytest.raises(LandingError, match="Nothing was touched"):
        replay(pipeline.settings)
    repair(pipeline.settings, apply=True)
    assert not faults(pipeline)


def test_a_lost_warehouse_is_rebuilt_whole_and_a_damaged_one_says_how(pipeline: Pipeline) -> None:
    path = pipeline.settings.warehouse.path
    assert path is not None
    before, totals = (
        pipeline.state(),
        pipeline.rows("SELECT * EXCLUDE (checked_at) FROM ops.control_totals ORDER BY ALL"),
    )
    syncs = pipeline.rows("SELECT sync_id, is_proven, certificate_sha256, as_of FROM ops.syncs ORDER BY 1")
    body = path.read_bytes()
    path.write_bytes(b"\x00" * 8192 + body[8192:])
    said = debitura("doctor", env=pipeline.env)
    assert said.status == 2
    assert "debitura replay" in said.out
    with pytest.raises(WarehouseDamaged, match=r"move it away.*`debitura replay`"):
        replay(pipeline.settings)
    path.rename(path.with_name("moved-away"))
    path.with_name(path.name + ".wal").write_bytes(b"left over")  # as a killed writer leaves one
    replay(pipeline.settings)
    assert pipeline.state() == before
    assert pipeline.rows("SELECT sync_id, is_proven, certificate_sha256, as_of FROM ops.syncs ORDER BY 1") == syncs
    assert pipeline.rows("SELECT * EXCLUDE (checked_at) FROM ops.control_totals ORDER BY ALL") == totals
    assert not faults(pipeline)


def test_another_data_directory_cannot_empty_a_shared_warehouse(
    pipeline: Pipeline, sandbox: RunningSandbox, tmp_path: Path, postgres: Database
) -> None:
    shared = Pipeline(pipeline.settings.data_dir, sandbox, DEBITURA_WAREHOUSE=postgres.url)
    replay(shared.settings)
    before = shared.state()
    elsewhere = Pipeline(tmp_path / "new", sandbox, DEBITURA_WAREHOUSE=postgres.url)
    (tmp_path / "new").mkdir()
    with pytest.raises(LandingError, match=r"right DEBITURA_DATA_DIR"):
        replay(elsewhere.settings)
    said = debitura("replay", env=elsewhere.env)
    assert said.status == 1
    assert "Nothing was touched" in said.error_line
    assert debitura("verify", env=elsewhere.env).status == 3
    assert shared.state() == before


def test_verify_says_what_a_busy_warehouse_kept_it_from(pipeline: Pipeline) -> None:
    remove_folder(pipeline)
    assert pipeline.settings.warehouse.path is not None
    with duckdb.connect(str(pipeline.settings.warehouse.path)):
        said = debitura("verify", env=pipeline.env)
    assert said.status == 3, "its successor misses it"
    assert "is locked by process" in said.out
    assert "only the landing zone's own chain was checked" in said.out


def test_syncs_from_before_the_chain_are_checked_by_what_there_is(pipeline: Pipeline) -> None:
    """As an older version left them: no hash in `ops`, none in the journals."""
    assert pipeline.settings.warehouse.path is not None
    with duckdb.connect(str(pipeline.settings.warehouse.path)) as warehouse:
        warehouse.execute("ALTER TABLE ops.syncs DROP COLUMN certificate_sha256")
        warehouse.execute("ALTER TABLE ops.syncs DROP COLUMN previous_sha256")
    for folder in sync_folders(pipeline.settings.landing_dir):
        rewrite(folder, lambda lines: [{k: v for k, v in lines[0].items() if k != "previous_sha256"}, *lines[1:]])
    assert not faults(pipeline)
    assert any("predate the chain of certificates" in note for note in check_certificates(pipeline.settings).notes)
    pipeline.sync()
    assert not faults(pipeline)
    before = pipeline.state()
    replay(pipeline.settings)
    assert pipeline.state() == before
    remove_folder(pipeline)
    assert faults(pipeline)


JUNK = {
    "binary": b"\x00\xff\xfe garbage \x80\n" * 3,
    "a half line in the middle": b'{"line":"begin","sync_id":\n{"line":"window"}\n',
    "no fields": b'{"line":"begin"}\n',
    "wrong types": b'{"line":"begin","sync_id":7,"resource":[],"mode":null,"at":3,"upper_bound":{},"partner":1}\n',
    "a list": b"[1,2]\n",
    "nested": b"[" * 100_000 + b"\n",
    "numbers of thousands of digits": b'{"line":' + b"9" * 6_000 + b"}\n",
    "empty lines": b"\n\n\n",
}


@pytest.mark.parametrize("junk", of_the_day(list(JUNK), 3), ids=str)
def test_a_damaged_journal_is_one_clear_line_with_a_way_out(pipeline: Pipeline, junk: str) -> None:
    """Of an unfinished sync, and then of a merged one: never a traceback, never a pipeline that is stuck."""
    unfinished = pipeline.settings.landing_dir / "cases" / "sync=20990101T000000Z-cases-000000"
    unfinished.mkdir()
    (unfinished / JOURNAL).write_bytes(JUNK[junk])
    with pytest.raises(JournalDamaged, match=r"journal\.jsonl is damaged: line \d.*`debitura repair`"):
        pipeline.sync()
    assert list(faults(pipeline)) == ["20990101T000000Z-cases-000000"]
    with pytest.raises(LandingError, match="debitura repair"):
        replay(pipeline.settings)
    read_status(pipeline.settings)
    (only,) = repair(pipeline.settings, apply=True)
    assert only.kind == "aside"
    assert next(iter((pipeline.settings.data_dir / "aside").rglob(JOURNAL))).read_bytes() == JUNK[junk]
    pipeline.sync()
    assert not faults(pipeline)


@pytest.mark.parametrize("where", ["after the certificate", "within it"])
def test_a_merged_journal_is_cut_back_to_its_certificate_where_that_is_whole(pipeline: Pipeline, where: str) -> None:
    folder = cases(pipeline)[0]
    journal = folder.path / JOURNAL
    body = journal.read_bytes()
    assert folder.certified is not None
    at = folder.certified if where == "after the certificate" else 40
    journal.write_bytes(body[:at] + b"\xff\x00 torn \n" + body[at:])
    before = pipeline.state()
    assert faults(pipeline)
    (only,) = repair(pipeline.settings, apply=True)
    assert only.kind == ("restore" if where == "after the certificate" else "lost")
    assert not faults(pipeline)
    if only.kind == "restore":
        replay(pipeline.settings)
        assert pipeline.state() == before


def test_repair_says_first_and_does_with_yes(pipeline: Pipeline) -> None:
    assert debitura("repair", env=pipeline.env).out.startswith("The landing zone and the warehouse agree")
    remove_newest(pipeline)
    said = debitura("repair", env=pipeline.env)
    assert said.status == 0
    assert "sync --full" in said.out and "1 to repair; nothing was changed" in " ".join(said.out.split())
    assert debitura("verify", env=pipeline.env).status == 3
    assert debitura("repair", "--yes", env=pipeline.env).status == 0
    assert debitura("verify", env=pipeline.env).status == 0
    said = debitura("replay", env=pipeline.env)
    assert said.status == 1
    assert "sync --full" in said.error_line
    assert folder_paths(pipeline.settings.landing_dir)
