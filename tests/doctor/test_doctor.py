"""Every setup that is known to go wrong: doctor says what, where, and what to do, in words for the one who has to mend it."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from debitura_pipeline.doctor import Diagnosis, examine, machine
from debitura_pipeline.doctor.examine import CHECKS, Check
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.settings.environment import _pairs, _refuse_unknown
from tests.doctor import api_cases, machine_cases, settings_cases, warehouse_cases, webhooks_cases
from tests.doctor.case import Case, Scene
from tests.doctor.page import PAGE, names_on, on_the_page
from tests.support.command import debitura, ended, start

FOUND = [*machine_cases.CASES, *warehouse_cases.CASES, *webhooks_cases.CASES, *api_cases.CASES]
# No traceback, no exception's class, no secret.
NEVER = re.compile(
    r"Traceback|\w+Exception|(?<!\bSocket)\b[a-z]\w*error\b|\b[A-Z][a-z]\w*Error\b|InsufficientPrivilege|s3cret|\[Errno"
)


def said(scene: Scene) -> list[Diagnosis]:
    """All that doctor finds. The embedded sandbox is asked by one test alone: to start it each time takes seconds."""
    settings = load_settings(scene.env, scene.folder)
    checks = tuple(check for check in CHECKS if settings.api_url is not None or check.what != "API")
    return list(examine(settings, checks))


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case.name)
def test_what_is_wrong_is_named_with_its_place_and_its_cure(case: Case, scene: Scene, may_mount: bool) -> None:
    if case.name in machine_cases.TAKE_ROOT and not may_mount:
        pytest.skip("disks and owners of the test's own take root")
    case.make(scene)
    found = said(scene)
    scene.stack.close()
    text = "\n".join(f"{one.what}: {one.seen} {one.cure}" for one in found if one.cure or one.what == case.line)
    assert not NEVER.search(text), text
    lines = [one for one in found if one.what == case.line and re.search(case.seen, one.seen)]
    assert lines, text
    assert lines[0].is_ok == case.is_ok, text
    assert re.search(case.cure, lines[0].cure), text
    assert case.is_ok or lines[0].cure
    on_the_page(case.name, f"{'ok  ' if case.is_ok else 'FAIL'} {lines[0].what}: {lines[0].seen}", lines[0].cure, scene)


@pytest.mark.parametrize("case", settings_cases.CASES, ids=lambda case: case.name)
def test_settings_that_cannot_be_meant_are_one_line(case: Case, scene: Scene) -> None:
    case.make(scene)
    with pytest.raises(SettingsError) as refused:
        values = dict(scene.env)
        if scene.dotenv is not None:
            (scene.folder / ".env").write_bytes(scene.dotenv)
            values |= dict(_pairs(scene.folder / ".env"))
            _refuse_unknown(values, str(scene.folder / ".env"))
        _refuse_unknown(values, "the environment")
        load_settings(values, scene.folder)
    text = str(refused.value)
    assert re.search(case.seen, text), text
    assert re.search(case.cure, text), text
    assert "\n" not in text
    assert not NEVER.search(text), text
    on_the_page(case.name, text, "", scene)


def test_the_page_has_these_cases_and_no_others() -> None:
    assert names_on(PAGE.read_text()) == [case.name for case in (*settings_cases.CASES, *FOUND)]


def test_all_is_well_where_nothing_is_wrong(scene: Scene) -> None:
    scene.env.update(scene.sandbox_env())
    found = said(scene)
    # A busy machine may have little memory or disk left; the rest is this test's own.
    assert [
        one for one in found if not one.is_ok and one.what not in ("memory", "data directory", "temporary files")
    ] == []


def test_a_postgres_owner_is_well(scene: Scene) -> None:
    with scene.server.database() as database:
        scene.env |= {"DEBITURA_WAREHOUSE": database.url, "DAGSTER_POSTGRES_URL": database.url}
        found = {one.what: one for one in said(scene)}
    for what in ("warehouse", "privileges in DEBITURA_WAREHOUSE", "DAGSTER_POSTGRES_URL"):
        assert found[what].is_ok, found[what]


def test_doctor_leaves_no_trace(scene: Scene) -> None:
    """It is run by whoever is worried, also as another user, and beside a run."""
    sandbox_env = scene.sandbox_env()
    shutil.copytree(scene.synced, scene.data)
    with open_instance(load_settings({**scene.env, **sandbox_env}, scene.folder)):
        pass
    before = tree(scene.folder)
    assert debitura("doctor", env={**scene.env, **sandbox_env}).status == 0
    assert tree(scene.folder) == before
    embedded = {"DEBITURA_DATA_DIR": str(scene.folder / "new" / "data")}
    for env in ({**embedded, **sandbox_env, "DEBITURA_ENVIRONMENT": "production"}, embedded):
        (scene.folder / "new").mkdir(exist_ok=True)
        said = debitura("doctor", env=env)
        assert "answers; invoicing trigger mode" in said.out
        assert list((scene.folder / "new").iterdir()) == [], said.out


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with its size and when it was changed."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"DEBITURA_WAREHOUSE": "postgresql://me:s3@cr/et@host/db"}, 2, "DEBITURA_WAREHOUSE is not an address"),
        ({"DAGSTER_HOME": "/proc/dagster"}, 2, "FAIL DAGSTER_HOME"),
    ],
)
def test_the_command_ends_with_2_and_no_traceback(
    scene: Scene, values: dict[str, str], status: int, words: str
) -> None:
    told = debitura("doctor", env={**scene.env, **scene.sandbox_env(), **values})
    assert told.status == status
    assert words in told.out + told.err
    assert not NEVER.search(told.out + told.err)


def test_a_check_that_fails_or_hangs_is_a_line_and_the_others_go_on(scene: Scene) -> None:
    over = threading.Event()

    def failing(_: Settings) -> Iterator[Diagnosis]:
        yield Diagnosis("one", True, "first")
        raise KeyError("s3cret")

    def hanging(_: Settings) -> Iterator[Diagnosis]:
        over.wait()
        yield Diagnosis("never", True, "")

    checks = (Check("odd", failing, str), Check("slow", hanging, lambda _: "a server"), CHECKS[1])
    found = list(examine(load_settings(scene.env, scene.folder), checks, within_s=0.3))
    over.set()  # not before: whoever waited for it would wait for ever
    assert [(one.what, one.is_ok) for one in found] == [
        ("one", True),
        ("odd", False),
        ("slow", False),
        ("settings", True),
    ]
    assert re.search(r"this check itself failed, at test_doctor\.py, line \d+", found[1].seen)
    assert "no answer from a server" in found[2].seen
    assert not NEVER.search(found[1].seen + found[1].cure)


@pytest.mark.parametrize(
    ("files", "seen"),
    [
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 204800 kB\n"}, r"200 MiB available \(this machine\)"),
        (
            {
                "proc/meminfo": "MemAvailable: 8000000 kB\n",
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/memory.max": "1073741824\n",
                "sys/fs/cgroup/a/memory.current": "629145600\n",
                "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 104857600\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
            },
            r"524 MiB available \(limit of the container or service, .*cgroup/a\)",
        ),
        (
            {
                "proc/self/cgroup": "3:memory:/x\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "0\n",
            },
            r"512 MiB available \(limit of the container or service, .*cgroup/memory\)",
        ),
    ],
    ids=["machine", "version 2", "version 1"],
)
def test_memory_is_that_of_the_tightest_limit(files: dict[str, str], seen: str, tmp_path: Path) -> None:
    for name, body in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body)
    found = machine.check_memory(root=tmp_path)
    assert not found.is_ok
    assert re.search(seen, found.seen), found.seen


def test_a_limit_on_address_space_is_refused_before_a_library_ends_the_process(scene: Scene) -> None:
    """The engine that draws charts reserves 64 GiB and aborts without them, in the middle of the night."""
    few = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1_000_000_000, resource.RLIM_INFINITY))"
    for command in ("nightly", "sync"):
        said = ended(start((command,), {**scene.env, **scene.sandbox_env()}, few))
        assert said.status == 1
        assert re.match(r"Address space is limited to 0\.9 GiB .*`ulimit -v unlimited`", said.error_line)
    said = ended(start(("doctor",), {**scene.env, **scene.sandbox_env()}, few))
    assert said.status == 2
    assert "FAIL address space: address space is limited to 0.9 GiB (`ulimit -v`), but 72 GiB are needed" in said.out
