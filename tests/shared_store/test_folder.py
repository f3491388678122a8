"""The shared store in a folder: what is uploaded, fetched and refused, and what an unreachable store does."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import pytest

from debitura_pipeline.backup.contents import is_backed_up
from debitura_pipeline.doctor.shared_store import examine
from debitura_pipeline.errors import IdentityRefused, SettingsError, SharedStoreError
from debitura_pipeline.landing.landing_zone import unmerged
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.shared_store.lag import problem_of, read_lag
from debitura_pipeline.shared_store.nights import PUBLISHED, SharedNights
from debitura_pipeline.shared_store.objects import open_objects
from debitura_pipeline.shared_store.position import FILE
from debitura_pipeline.shared_store.records import FILES, RecordsVersion, SharedRecords
from debitura_pipeline.sync import replay
from debitura_pipeline.sync.proof import check_certificates
from debitura_pipeline.warehouse.publish import publish
from debitura_pipeline.warehouse.run_lock import exclusive_run
from debitura_pipeline.warehouse.shared_nights import pull_night
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox
from tests.warehouse.folders import fill, marks

NOW = datetime(2026, 4, 1, 2, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def pipeline(tmp_path: Path, store: Path, shared_sandbox: RunningSandbox) -> Pipeline:
    return Pipeline(tmp_path / "here", shared_sandbox, DEBITURA_SHARED_STORE=f"file://{store}")


def names(store: Path) -> set[str]:
    return {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}


def test_everything_that_a_backup_has_is_in_the_store_but_key_warehouse_and_inbox(
    pipeline: Pipeline, store: Path
) -> None:
    """A file that is added to the data directory must be added to one of the two lists."""
    pipeline.sync()
    data = pipeline.settings.data_dir
    files = [path.relative_to(data) for path in data.rglob("*") if path.is_file()]
    unknown = {
        path.as_posix()
        for path in files
        if is_backed_up(path)
        and path.as_posix() not in FILES
        and path.parts[0] not in ("landing", "inbox")
        and path.name not in ("privacy.key", "warehouse.duckdb", FILE)
    }
    assert not unknown
    landed = {path.as_posix() for path in files if path.parts[0] == "landing" and path.suffix == ".parquet"}
    assert landed and landed <= names(store)
    assert not [name for name in names(store) if name.startswith("pending")]


def test_a_failed_upload_fails_the_sync_before_its_merge(pipeline: Pipeline, store: Path) -> None:
    """A sync that is merged and not in the store would be lost with its machine."""
    pipeline.sync("clients")
    shutil.rmtree(store)
    with pytest.raises(SharedStoreError, match="is not a folder"):
        pipeline.sync("clients")
    assert not unmerged(pipeline.settings.landing_dir), "nothing was read"
    store.mkdir()
    (store / "pending").write_text("in the way of the certificates")
    with pytest.raises(SharedStoreError, match=r"cannot be written: (File exists|Not a directory)"):
        pipeline.sync("clients")
    assert [folder.end is not None for folder in unmerged(pipeline.settings.landing_dir)] == [True]
    assert pipeline.rows("SELECT count(*) FROM ops.syncs WHERE status = 'done'") == [(1,)]
    (store / "pending").unlink()
    pipeline.sync("clients")
    certificates = [name for name in names(store) if name.startswith("certificates")]
    assert len(certificates) == 3, "the first, the one that was not merged then, and the one that was read now"


def test_a_directory_that_is_killed_at_the_end_of_its_first_upload_is_no_stranger_to_its_store(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records in the store have the directory's name, which it must know by then."""
    write = SharedRecords.write

    def killed(records: SharedRecords, version: RecordsVersion) -> str:
        write(records, version)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SharedRecords, "write", killed)
        pipeline.sync("clients")
    pipeline.sync("clients")


@pytest.mark.parametrize("is_later", [False, True], ids=["at once", "moments later"])
def test_of_two_directories_that_begin_to_use_a_store_at_most_one_gets_it(
    pipeline: Pipeline, store: Path, tmp_path: Path, shared_sandbox: RunningSandbox, is_later: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The certificates of two warehouses would be mixed in it."""
    other = Pipeline(tmp_path / "there", shared_sandbox, DEBITURA_SHARED_STORE=f"file://{store}")
    newest, write, meeting = SharedRecords.newest, SharedRecords.write, Barrier(2, timeout=30)
    looked: set[Path] = set()

    def looks(records: SharedRecords) -> tuple[int, list[str]]:
        found = newest(records)
        if not is_later and records.data_dir not in looked:
            looked.add(records.data_dir)
            meeting.wait()  # so that both find it new
        return found

    def written(records: SharedRecords, version: RecordsVersion) -> str:
        if is_later:  # it has found the store new, and now it no longer is
            monkeypatch.undo()
            pipeline.sync("clients")
        return write(records, version)

    def refusal(one: Pipeline) -> str | None:
        try:
            one.sync("clients")
        except SharedStoreError as error:
            return str(error)
        return None

    monkeypatch.setattr(SharedRecords, "newest", looks)
    monkeypatch.setattr(SharedRecords, "write", written)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(refusal, [other] if is_later else [pipeline, other]))
    monkeypatch.undo()
    refused = [text for text in found if text is not None]
    assert refused
    assert all("has begun to use the shared store" in text for text in refused), refused
    owner, stranger = (other, pipeline) if found[-1] is None else (pipeline, other)
    assert not stranger.settings.landing_dir.exists()
    owner.sync("clients")
    assert "belongs to another data directory" in str(refusal(stranger))
    assert not [finding for finding in check_certificates(owner.settings).findings if finding.faults]


def test_lost_files_come_back_from_the_store_and_changed_objects_are_refused(pipeline: Pipeline, store: Path) -> None:
    pipeline.sync("clients")
    before = pipeline.state()
    for path in pipeline.settings.landing_dir.rglob("*.parquet"):
        path.unlink()
    shutil.rmtree(next(pipeline.settings.landing_dir.glob("clients/*")))
    assert not [finding for finding in check_certificates(pipeline.settings).findings if finding.faults]
    replay(pipeline.settings)
    assert pipeline.state() == before
    for path in pipeline.settings.landing_dir.rglob("*.parquet"):
        path.unlink()
    for path in store.rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SharedStoreError, match=r"its SHA-256 differs\. It was not used"):
        replay(pipeline.settings)
    assert pipeline.state() == before


def test_what_does_not_belong_to_a_store_is_refused(
    pipeline: Pipeline, store: Path, tmp_path: Path, shared_sandbox: RunningSandbox
) -> None:
    pipeline.sync("clients")
    url = {"DEBITURA_SHARED_STORE": f"file://{store}"}
    before = names(store)
    with pytest.raises(SharedStoreError, match=r"a DuckDB warehouse cannot be shared\. Nothing was touched"):
        Pipeline(tmp_path / "there", shared_sandbox, **url).sync("clients")
    assert not (tmp_path / "there" / "landing").exists()
    alien = Pipeline(tmp_path / "alien", shared_sandbox, DEBITURA_PRIVACY_KEY="another key for tests only 9876543210")
    alien.sync("clients")
    with pytest.raises(IdentityRefused, match="were made with another privacy key than that of this machine"):
        Pipeline(
            tmp_path / "alien", shared_sandbox, **url, DEBITURA_PRIVACY_KEY="another key for tests only 9876543210"
        ).sync("clients")
    shutil.copytree(tmp_path / "here", tmp_path / "moved")  # as a backup and a restore do
    with pytest.raises(IdentityRefused, match="privacy key"):
        Pipeline(
            tmp_path / "moved", shared_sandbox, **url, DEBITURA_PRIVACY_KEY="another key for tests only 9876543210"
        ).sync("clients")
    assert names(store) == before
    Pipeline(tmp_path / "moved", shared_sandbox, **url).sync("clients")


def test_a_sync_with_another_certificate_in_the_store_is_refused(pipeline: Pipeline, store: Path) -> None:
    pipeline.sync("clients")
    (path,) = (store / "certificates" / "clients").iterdir()
    (journal,) = pipeline.settings.landing_dir.glob("clients/*/journal.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))  # as if the mark of the merge were still missing
    path.write_bytes(path.read_bytes().replace(b'"attempts":1', b'"attempts":2'))
    with pytest.raises(SharedStoreError, match=r"the two have diverged\. Nothing was touched"):
        pipeline.sync("clients")


def test_a_directory_that_was_used_without_a_store_is_uploaded_whole(
    tmp_path: Path, store: Path, shared_sandbox: RunningSandbox
) -> None:
    Pipeline(tmp_path / "here", shared_sandbox).sync("clients")
    later = Pipeline(tmp_path / "here", shared_sandbox, DEBITURA_SHARED_STORE=f"file://{store}")
    lag = read_lag(later.settings, None)
    assert lag is not None and lag["syncs_behind"] == 1
    assert "is behind: 1 sync not uploaded yet; the next run does it" in (problem_of(lag) or "")
    with exclusive_run(later.settings, "backup"):
        pass
    lag = read_lag(later.settings, None)
    assert lag is not None and lag["syncs_behind"] == 0 and lag["has_records"] and problem_of(lag) is None
    assert len([name for name in names(store) if name.startswith("certificates")]) == 1
    assert [name for name in names(store) if name.startswith("landing")]


def test_readers_pull_whole_nights_and_three_are_kept(pipeline: Pipeline, store: Path, tmp_path: Path) -> None:
    settings, reader = (
        pipeline.settings,
        load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "reader"), "DEBITURA_SHARED_STORE": f"file://{store}"}),
    )
    pipeline.sync("clients")
    with pytest.raises(SharedStoreError, match="Nothing is published in the shared store"):
        pull(reader)
    settings.reports_dir.mkdir()
    for mark in range(1, 5):
        fill(settings, mark)
        (settings.reports_dir / "partner-report.html").write_text(f"report {mark}")
        publish(settings)
        assert pull(reader) and not pull(reader)
        assert marks(reader.published_dir) == {mark}
        assert (reader.reports_dir / "partner-report.html").read_text() == f"report {mark}"
    folders = {name.split("/")[1] for name in names(store) if name.startswith("published/2")}
    assert len(folders) == 3
    current = SharedNights(open_objects(settings.shared_store), PUBLISHED).current()  # type: ignore[arg-type]
    # Two nights of one second have names in no order; the list has.
    assert current is not None and set(current.nights) == folders and current.nights[-1] == current.folder
    (store / "published" / current.folder / "b.parquet").write_bytes(b"half of it")
    shutil.rmtree(reader.published_dir)
    with pytest.raises(SharedStoreError, match="its SHA-256 differs"):
        pull(reader)
    assert not marks(reader.published_dir)


def pull(settings: Settings) -> bool:
    return pull_night(settings, settings.published_dir, settings.reports_dir) is not None


def test_a_reader_that_is_overtaken_starts_again(pipeline: Pipeline, store: Path, tmp_path: Path) -> None:
    """Files of the night that it was downloading are gone, three nights later."""
    objects = open_objects(pipeline.settings.shared_store)  # type: ignore[arg-type]
    nights, source, target = SharedNights(objects, PUBLISHED), tmp_path / "night", tmp_path / "reader"
    for folder in (source, target):
        folder.mkdir()

    def publish_next(number: int) -> None:
        for name in ("a", "b"):
            (source / name).write_text(f"{number}")
        nights.publish(source, str(number), as_of=None, published_at=NOW.replace(minute=number))

    publish_next(0)
    download, calls = objects.download, iter(range(10))

    def overtaken(name: str, path: Path, sha256: str) -> None:
        if next(calls) == 1:
            for number in (1, 2, 3):
                publish_next(number)
        download(name, path, sha256)

    spied = SimpleNamespace(read=objects.read, download=overtaken, url=objects.url)
    SharedNights(spied, PUBLISHED).download(target)
    assert {path.read_text() for path in target.iterdir()} == {"3"}


def test_doctor_probes_the_store(pipeline: Pipeline, store: Path) -> None:
    (found,) = examine(pipeline.settings)
    assert found.is_ok and "can be written, read and deleted" in found.seen and not names(store)
    store.rmdir()
    (found,) = examine(pipeline.settings)
    assert not found.is_ok and "is not a folder" in found.seen and found.cure


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"DEBITURA_SHARED_STORE": "gs://bucket"}, "neither a file:// nor an s3:// address"),
        ({"DEBITURA_SHARED_STORE": "s3://key:secret@bucket/x"}, "without user, password and query"),
        ({"DEBITURA_SHARED_STORE": "s3://bucket/../x?endpoint=y"}, "without user, password and query"),
        ({"DEBITURA_SHARED_STORE": "file://relative"}, "names no absolute folder"),
        ({"DEBITURA_SHARED_STORE": "s3://bucket", "AWS_ACCESS_KEY_ID": "A"}, "AWS_SECRET_ACCESS_KEY is not set"),
        ({"DEBITURA_SHARED_STORE": "s3://bucket", "AWS_ENDPOINT_URL": "https://host/path"}, "AWS_ENDPOINT_URL is not"),
    ],
)
def test_a_wrong_address_is_one_line(given: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault) as caught:
        load_settings(given)
    assert "secret@" not in str(caught.value)


def test_a_store_in_the_data_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is in the data directory"):
        load_settings({"DEBITURA_DATA_DIR": str(tmp_path), "DEBITURA_SHARED_STORE": f"file://{tmp_path}/store"})
