"""A daemon that serves all partners starts each one's night at its time, in a process that works for it alone."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from debitura_pipeline.orchestration.keys import PARTNER_TAG
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.partners.schedules import partner_schedules

Write = Callable[[str], int]


@pytest.fixture
def partners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    for name in [name for name in os.environ if name.startswith("DEBITURA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DEBITURA_PARTNER", "")
    monkeypatch.setenv("DEBITURA_PARTNERS", str(tmp_path / "partners.toml"))
    monkeypatch.setenv("DEBITURA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("B_KEY", "key-of-b")
    return (tmp_path / "partners.toml").write_text


def test_each_partner_has_its_time_and_its_tag(partners: Write) -> None:
    partners('[a]\nschedule = "30 4 * * *"\nrun_retries = 1\n[b-eu]\n[c]\nwrong = 1\n')
    found = {schedule.name: schedule for schedule in partner_schedules()}
    assert list(found) == ["nightly_a", "freshness_a", "nightly_b_eu", "freshness_b_eu", "nightly_c", "freshness_c"]
    crons = [schedule.cron_schedule for schedule in found.values()]
    assert crons == ["30 4 * * *", "30 10 * * *", "0 2 * * *", "0 8 * * *", "0 2 * * *", "0 8 * * *"]
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 28, 4, 30, tzinfo=UTC))
    (request,) = found["nightly_a"].evaluate_tick(context).run_requests or ()
    assert (request.tags[PARTNER_TAG], request.tags["dagster/max_retries"]) == ("a", "1")


def test_a_process_of_one_partner_or_without_a_file_has_none(partners: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    partners("[a]\n")
    monkeypatch.setenv("DEBITURA_PARTNER", "a")
    assert partner_schedules() == []
    monkeypatch.delenv("DEBITURA_PARTNERS")
    assert partner_schedules() == []


@dg.op(required_resource_keys={"debitura"})
def look(context: dg.OpExecutionContext) -> tuple[str, str, bool]:
    settings = context.resources.debitura.settings
    return str(settings.partner), settings.data_dir.name, "B_KEY" in os.environ


@dg.job(resource_defs={"debitura": Debitura()})
def looking() -> None:
    look()


def test_a_runs_process_works_for_the_partner_of_its_tag(partners: Write) -> None:
    partners('[a]\n[b]\nenvironment = "test"\napi_key_variable = "B_KEY"\n')
    run = looking.execute_in_process(tags={PARTNER_TAG: "a"})
    assert run.output_for_node("look") == ("a", "a", False)


def test_two_hundred_partners_load_and_tick_within_a_second(partners: Write) -> None:
    partners("\n".join(f"[p{number}]\n" for number in range(200)))
    began = time.process_time()
    schedules = partner_schedules()
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 11, 28, 2, tzinfo=UTC))
    assert len(schedules[0].evaluate_tick(context).run_requests or ()) == 1
    assert len(schedules) == 400
    assert time.process_time() - began < 1.0
