"""What the queue of an instance that serves all partners goes by, and the settings of that instance."""

import json
from pathlib import Path

import pytest

from debitura_pipeline.orchestration.home import POSTGRES_TEMPLATE, TEMPLATE, for_partners, write_config
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.jobs import FRESHNESS, NIGHTLY, ONBOARD
from debitura_pipeline.orchestration.run_queue import PartnerRunCoordinator, partner_of, queue_tags
from debitura_pipeline.settings import load_common
from debitura_pipeline.supervision.dev import child_environment
from debitura_pipeline.supervision.secret_variables import variables_served
from debitura_pipeline.warehouse.run_lock import exclusive_dev
from tests.partners.test_schedules import Write, partners
from tests.support.command import debitura, environment
from tests.support.forks import fork_server

__all__ = ["partners"]
TWO = '[a]\n[b]\nenvironment = "test"\napi_key_variable = "B_KEY"\n'


@pytest.mark.parametrize(
    ("tags", "partner"),
    [
        ({"dagster/partition": "a"}, "a"),
        ({"dagster/partition": "a/tenant@1"}, "a"),
        ({"dagster/asset_partition_range_start": "a/tenant@1", "dagster/asset_partition_range_end": "a/z@1"}, "a"),
        ({"debitura/partner": "b"}, "b"),
        ({"dagster/partition": "a", "debitura/partner": "b"}, "a"),  # what is shown is what is done
        ({}, None),
    ],
)
def test_a_run_works_for_the_partner_of_its_partition(tags: dict[str, str], partner: str | None) -> None:
    assert partner_of(tags) == partner
    assert queue_tags(ONBOARD, tags).get("debitura/warehouse") == partner


def test_checks_of_freshness_do_not_wait_for_the_night_that_they_watch() -> None:
    assert "debitura/warehouse" in queue_tags(NIGHTLY, {"debitura/partner": "a"})
    assert queue_tags(FRESHNESS, {"debitura/partner": "a"}) == {"debitura/partner": "a", "dagster/partition": "a"}


def test_the_common_instance_has_its_own_home_and_queue_and_reads_no_secret(
    partners: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partners(TWO)
    monkeypatch.delenv("B_KEY")
    settings = load_common()
    assert (settings.serves, settings.dagster_home) == (("a", "b"), tmp_path / "data" / "dagster")
    with open_instance(settings) as instance:
        assert isinstance(instance.run_coordinator, PartnerRunCoordinator)
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert [limit["key"] for limit in limits.tag_concurrency_limits or ()] == ["debitura/warehouse"]
        assert instance.run_monitoring_max_runtime_seconds == 172800
    written = (settings.dagster_home / "dagster.yaml").read_text()
    write_config(settings)
    assert (settings.dagster_home / "dagster.yaml").read_text() == written == for_partners(TEMPLATE)
    assert "debitura/warehouse" in for_partners(POSTGRES_TEMPLATE.read_text())


def test_dagsters_programs_get_no_variable_that_a_partner_names(partners: Write) -> None:
    partners(TWO)
    given = child_environment(load_common(), None, {"B_KEY": "key-of-b", "PATH": "/bin", "DEBITURA_DATA_DIR": "data"})
    assert "key-of-b" not in json.dumps(given)
    assert given["PATH"] == "/bin"


ASKING = """
import json, os, sys
from debitura_pipeline.settings import choose_partner
choose_partner(sys.argv[1])
print(json.dumps([os.environ.get(name) for name in ("A_KEY", "B_KEY", "DEBITURA_SECRETS_SOCKET")]))
"""


def test_a_process_gets_its_own_partners_variables_from_dev_and_no_others(partners: Write, tmp_path: Path) -> None:
    """The code server, from which Dagster starts the runs, has neither."""
    partners(
        '[a]\nenvironment = "test"\napi_key_variable = "A_KEY"\n[b]\nenvironment = "test"\napi_key_variable = "B_KEY"\n'
    )
    held = {"a": {"A_KEY": "key-of-a", "PATH": "changed"}, "b": {"B_KEY": "key-of-b"}}
    env = {"DEBITURA_PARTNERS": str(tmp_path / "partners.toml"), "DEBITURA_SECRETS_SOCKET": str(tmp_path / "socket")}
    said = {}
    with variables_served(tmp_path / "socket", held.__getitem__):
        assert (tmp_path / "socket").stat().st_mode & 0o777 == 0o600
        for name in held:
            said[name] = fork_server().run(ASKING, [name], tmp_path, environment(env), 60)[1].strip()
    gone = fork_server().run(ASKING, ["a"], tmp_path, environment(env), 60)[1].strip()
    assert said == {"a": '["key-of-a", null, null]', "b": '[null, "key-of-b", null]'}
    assert gone == "[null, null, null]", "a run then says which variable is not set"


def test_a_partners_own_dev_is_refused_beside_the_one_that_serves_all(partners: Write, tmp_path: Path) -> None:
    """Each of its nights would start twice."""
    partners(TWO)
    env = {"DEBITURA_PARTNERS": str(tmp_path / "partners.toml"), "DEBITURA_DATA_DIR": str(tmp_path / "data")}
    with exclusive_dev(load_common()):
        said = debitura("--partner", "a", "dev", env=env)
        again = debitura("dev", env=env)
    assert (said.status, again.status) == (1, 1)
    assert said.error_line.startswith("A `debitura dev` serves all partners: dev, process")
    assert again.error_line.startswith("Another `debitura dev` has the data directory")
