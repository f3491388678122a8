"""The runbook's commands exist, its tests do, and the steps that are cheap to try are tried as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from debitura_pipeline.settings import load_settings
from tests.api.test_outage import free_port
from tests.deploy.compose import services
from tests.deploy.test_units import UNITS, check_command
from tests.support.command import Said, debitura
from tests.support.pipeline import Pipeline
from tests.support.sandbox import ROOT, RunningSandbox

RUNBOOK = (ROOT / "deploy" / "RUNBOOK.md").read_text()
SECTIONS = {text.partition("\n")[0]: text for text in RUNBOOK.split("\n## ")[1:]}
BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def pattern(printed: str) -> str:
    """The regular expression of what a command prints: an ellipsis stands for anything."""
    return ".*".join(re.escape(piece.strip()) for piece in printed.split("…"))


def steps(text: str) -> Iterator[tuple[list[str], str]]:
    """Each command of the console blocks, in words, and the pattern of what it prints."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^ *\$ ", block, flags=re.MULTILINE)[1:]:
            command, *printed = (line.strip() for line in part.strip().splitlines())
            yield shlex.split(command), pattern("\n".join(printed))


def test_commands_of_the_runbook_exist_and_take_their_options() -> None:
    for words, _ in steps(RUNBOOK):
        match words:
            case ["debitura", *_]:
                check_command(words)
            case ["docker", "compose", "exec", service, *command]:
                assert service in services()
                check_command(command)
            case ["docker", "compose", "up" | "ps" | "restart", *named]:
                assert {word for word in named if not word.startswith("--")} <= services().keys()
            case ["systemctl", "restart", unit]:
                assert unit in {path.name for path in UNITS}
            case _:
                pytest.fail(f"nothing checks {words}")


def test_each_step_names_a_test_that_is_there_or_says_that_it_was_not_tried() -> None:
    for title, text in SECTIONS.items():
        tried = text[text.rindex("\nTried") :]
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", tried)
        assert named, title
        for path, name in named:
            assert f"def {name or 'test_'}" in (ROOT / path).read_text(), f"{title}: {path}::{name}"


def test_parts_of_other_pages_that_it_refers_to_are_there() -> None:
    for title, page in re.findall(r"\*([^*\n]+(?:\n[^*\n]+)?)\*(?: in|\s+in)\s+`([\w/.-]+\.md)`", RUNBOOK):
        headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
        assert " ".join(title.split()) in headings, f"{page} has no part {title!r}"
    for path in re.findall(r"`((?:deploy|docs)/[\w/.-]+\.md)`", RUNBOOK):
        assert (ROOT / path).exists(), path


@pytest.fixture(scope="module")
def pipeline(shared_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A data directory in which everything was read once; its privacy key is its own. Each test leaves it as it was."""
    found = Pipeline(tmp_path_factory.mktemp("runbook") / "data", shared_sandbox)
    del found.env["DEBITURA_PRIVACY_KEY"]
    found.settings = load_settings(found.env)
    found.sync()
    return found


def walk(title: str, pipeline: Pipeline, folder: Path) -> list[Said]:
    """Run the section's commands of ours; each has to end well, and print what is there. A file is in `folder`."""
    done = []
    for words, printed in steps(SECTIONS[title]):
        if words[0] == "debitura":
            here = [str(folder / word) if word.endswith(".tar.gz") else word for word in words[1:]]
            said = debitura(*here, env=pipeline.env)
            assert said.status == 0, f"{words}: {said.out}{said.err}"
            assert re.search(printed, said.out + said.err, re.DOTALL), f"{words}: {said.out}{said.err}"
            done.append(said)
    return done


def shown(title: str) -> str:
    """The pattern of the section's message."""
    (text,) = re.findall(r"^ *```text\n(.*?)^ *```$", SECTIONS[title], re.MULTILINE | re.DOTALL)
    return pattern(text)


def test_a_backup_is_restored_and_a_lost_warehouse_rebuilt(pipeline: Pipeline, tmp_path: Path) -> None:
    path, before = pipeline.settings.warehouse.path, pipeline.state()
    assert path is not None
    walk("Upgrade", pipeline, tmp_path)
    path.write_bytes(b"damaged")
    walk("Restore a backup", pipeline, tmp_path)
    assert pipeline.state() == before
    path.unlink()
    walk("Restore from the landing zone", pipeline, tmp_path)
    assert pipeline.state() == before


def test_a_key_is_rotated(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path) -> None:
    """The API takes another key from one day to the next."""
    title, port = "Rotate the API key", free_port()
    old = sandbox_factory(port=port, key="the-old-key-of-the-partner")
    pipeline = Pipeline(tmp_path / "data", old)
    pipeline.env["DEBITURA_API_KEY"] = "the-old-key-of-the-partner"
    assert debitura("sync", "--only", "clients", env=pipeline.env).status == 0
    before = pipeline.rows("FROM raw.clients ORDER BY ALL")
    old.stop()
    sandbox_factory(port=port, key="the-new-key-of-the-partner")
    refused = debitura("sync", env=pipeline.env)
    assert (refused.status, pipeline.rows("FROM raw.clients ORDER BY ALL")) == (1, before)
    assert re.search(shown(title), refused.error_line)
    pipeline.env["DEBITURA_API_KEY"] = "the-new-key-of-the-partner"
    assert walk(title, pipeline, tmp_path)


def test_a_lost_privacy_key_stops_every_run_until_it_is_back(pipeline: Pipeline, tmp_path: Path) -> None:
    title, before = "The privacy key is lost", pipeline.state()
    key = pipeline.settings.data_dir / "privacy.key"
    kept = key.read_bytes()
    key.unlink()
    stopped = debitura("sync", env=pipeline.env)
    assert stopped.status == 1
    assert re.search(shown(title), stopped.error_line)
    key.write_bytes(kept)
    walk(title, pipeline, tmp_path)
    assert pipeline.state() == before
