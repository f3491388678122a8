"""The closing lines of `debitura nightly` say what is published, whatever became of the run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from debitura_pipeline.cli import nightly
from debitura_pipeline.orchestration.nightly import FAILED, NightlyResult, StepOutcome
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.publish import publish

AT = datetime(2026, 4, 1, 3, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")})


def publish_at(settings: Settings, at: datetime) -> None:
    with open_warehouse(settings):
        pass
    publish(settings, now=lambda: at)


def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, *, is_published: bool, success: bool) -> int:
    """`debitura nightly` with a job that only publishes, or does not."""

    def job(*_: object, **__: object) -> NightlyResult:
        if is_published:
            publish_at(settings, AT)
        steps = () if success else (StepOutcome("published__warehouse", FAILED, 1.0, "No space left on device."),)
        return NightlyResult("run", success, steps, (), (), 0)

    monkeypatch.setattr(nightly, "run_job", job)
    return nightly.run_nightly(settings, advance=False)


def test_first_night_that_fails_does_not_speak_of_what_was_published_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(settings, monkeypatch, is_published=False, success=False) == nightly.FAILURE
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "Nothing is published yet."
    assert "No space left on device." in err


def test_later_night_that_fails_names_the_night_that_readers_have(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_at(settings, datetime(2026, 3, 31, 3, tzinfo=UTC))
    assert run(settings, monkeypatch, is_published=False, success=False) == nightly.FAILURE
    assert capsys.readouterr().out.splitlines()[-1] == "Still published: the night made 2026-03-31 03:00 UTC."


def test_night_that_fails_after_publishing_says_that_it_is_published(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_at(settings, datetime(2026, 3, 31, 3, tzinfo=UTC))
    assert run(settings, monkeypatch, is_published=True, success=False) == nightly.FAILURE
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"Published for analysts: {settings.published_dir}")


def test_good_night_that_published_nothing_does_not_claim_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(settings, monkeypatch, is_published=False, success=True) == nightly.SUCCESS
    assert "Nothing is published yet." in capsys.readouterr().out
