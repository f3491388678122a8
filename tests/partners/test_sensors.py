"""The sensors of an instance that serves all partners, on a real instance: whose state they go by, and how long they take."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from debitura_pipeline.onboarding.coverage import Coverage
from debitura_pipeline.onboarding.lifecycle import Client
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.keys import CLIENTS, ONBOARDING, PARTNER_TAG, PUBLISHED, RAW
from debitura_pipeline.orchestration.partner_view import PartnerView, placed
from debitura_pipeline.orchestration.progress import read_progress, run_config_of
from debitura_pipeline.orchestration.retention import purge_old_runs
from debitura_pipeline.orchestration.wanted import ready_digest, state_of
from debitura_pipeline.partners import visits
from debitura_pipeline.partners.look import FOLDER as LOOKS
from debitura_pipeline.partners.look import HANDLED, Look, SourceState, SubscriptionsState, seen_clients, write_look
from debitura_pipeline.partners.sensors import go_round, round_of_reports
from debitura_pipeline.partners.turns import Turns
from debitura_pipeline.partners.visits import Visit
from debitura_pipeline.settings import load_settings

NOW = datetime.now(UTC)
Folders = dict[str, Path]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "home")})) as found:
        yield found


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return {name: tmp_path / name for name in ("a", "b")}


def client(number: int, *, is_signed: bool = True) -> Client:
    return Client(f"tenant-{number}", f"creditor-{number}", is_signed)


def report(instance: dg.DagsterInstance, partner: str, event: dg.AssetMaterialization | dg.AssetObservation) -> None:
    instance.report_runless_asset_event(placed(event, partner))


def covered(*clients: Client) -> dg.AssetObservation:
    text = Coverage.of(one.key for one in clients).as_text()
    return dg.AssetObservation(ONBOARDING["history"], metadata={"covered": text, "unsigned": ""})


def tick(
    instance: dg.DagsterInstance, folders: Folders, visit: Visit, cursor: str | None = None, now: datetime = NOW
) -> dg.SensorResult:
    """One tick, and what the daemon does with it."""
    found = go_round(instance, cursor, folders, visit, now)
    for request in found.dynamic_partitions_requests or ():
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return found


def asked(found: dg.SensorResult) -> dict[str, dg.RunRequest]:
    return {request.tags[PARTNER_TAG]: request for request in found.run_requests or ()}


def test_a_client_of_one_partner_is_not_done_because_another_has_it(
    instance: dg.DagsterInstance, folders: Folders
) -> None:
    """Both partners have a client of the same ids; that of `b` is loaded."""
    for folder in folders.values():
        write_look(folder, Look(NOW, (client(1),), unseen=1))
    report(instance, "b", covered(client(1)))
    found = tick(instance, folders, visits.visit_new_clients)
    assert {name: request.run_config for name, request in asked(found).items()} == {
        "a": run_config_of([client(1).key], 1)
    }
    assert instance.get_dynamic_partitions(str(CLIENTS.name)) == [f"a/{client(1).key}", f"b/{client(1).key}"]
    progress = read_progress(PartnerView(instance, "a"), NOW)
    assert list(progress) == [client(1).key]


def test_a_look_is_handled_once_each_of_its_clients_has_a_partition(
    instance: dg.DagsterInstance, folders: Folders
) -> None:
    """If the first tick's result is lost, the next look reads as far as this one."""
    write_look(folders["a"], Look(NOW, (client(1),), unseen=1))
    first = tick(instance, folders, visits.visit_new_clients)
    assert not (folders["a"] / LOOKS / HANDLED).exists()
    assert client(1).key not in seen_clients(folders["a"])
    assert asked(tick(instance, folders, visits.visit_new_clients, first.cursor)) == {}, "the look was visited"
    write_look(folders["a"], Look(NOW + timedelta(seconds=30), (client(1),), unseen=1))
    tick(instance, folders, visits.visit_new_clients, first.cursor)
    assert client(1).key in seen_clients(folders["a"])


def test_changed_claims_of_one_partner_request_its_run_once_what_it_handled_differs(
    instance: dg.DagsterInstance, folders: Folders
) -> None:
    for folder in folders.values():
        write_look(folder, Look(NOW, sources={"claims": SourceState("fingerprint", may_write=False)}))
    state = state_of(
        folders["b"], "claims", "fingerprint", ready_digest(PartnerView(instance, "b")), NOW, may_write=False
    )
    report(instance, "b", dg.AssetMaterialization(visits.PLANS["claims"], metadata=state))
    assert list(asked(tick(instance, folders, visits.visit_wanted))) == ["a"]


def test_reports_are_outdated_for_the_partner_that_loaded_something(
    instance: dg.DagsterInstance, folders: Folders
) -> None:
    for name in folders:
        report(instance, name, dg.AssetMaterialization(PUBLISHED))
    first = round_of_reports(instance, None, folders, datetime.now(UTC))
    assert asked(first) == {}
    _load(instance, "a")
    later = datetime.now(UTC) + timedelta(minutes=5)  # this file was loaded long before
    found = round_of_reports(instance, first.cursor, folders, later)
    assert list(asked(found)) == ["a"]
    report(instance, "a", dg.AssetMaterialization(PUBLISHED))
    assert asked(round_of_reports(instance, found.cursor, folders, later)) == {}


def _load(instance: dg.DagsterInstance, partner: str) -> None:
    """What an onboarding run leaves."""

    @dg.op
    def load(context: dg.OpExecutionContext) -> None:
        context.log_event(placed(dg.AssetMaterialization(RAW["cases"], metadata={"mode": "client"}), partner))

    @dg.job(name="onboarding")
    def onboarding() -> None:
        load()

    onboarding.execute_in_process(instance=instance, tags={PARTNER_TAG: partner})


def test_a_subscription_that_is_off_is_enabled_by_a_run_of_its_partner(
    instance: dg.DagsterInstance, folders: Folders
) -> None:
    off = SubscriptionsState(NOW, 1, 1, may_enable=True, description="Subscription 7 is off.")
    write_look(folders["b"], Look(NOW + timedelta(minutes=5), subscriptions=off))  # read by an earlier look
    found = tick(instance, folders, visits.visit_subscriptions)
    assert list(asked(found)) == ["b"]
    assert [event.partition for event in found.asset_events] == ["b"]
    again = tick(instance, folders, visits.visit_subscriptions, found.cursor)
    assert (asked(again), list(again.asset_events)) == ({}, []), "it was asked for"
    write_look(folders["b"], Look(NOW, subscriptions=msgspec.structs.replace(off, at=NOW + timedelta(hours=1))))
    assert list(asked(tick(instance, folders, visits.visit_subscriptions, again.cursor))) == ["b"], (
        "no run has succeeded"
    )


def test_what_is_wrong_with_one_partner_stops_no_other(instance: dg.DagsterInstance, folders: Folders) -> None:
    write_look(folders["b"], Look(NOW, (client(1),), unseen=1))
    report(instance, "a", dg.AssetObservation(ONBOARDING["history"], metadata={"covered": "no base64", "unsigned": ""}))
    write_look(folders["a"], Look(NOW, (client(1),), unseen=1))
    found = tick(instance, folders, visits.visit_new_clients)
    assert list(asked(found)) == ["b"]
    assert Turns.of(found.cursor).notes["a"] == "", "it is tried again"


MANY, CLIENTS_EACH = 200, 100
VISITS = (
    visits.visit_new_clients, visits.visit_wanted, visits.visit_inbox, visits.visit_subscriptions, visits.visit_incidents,
)  # fmt: skip


def test_ticks_of_two_hundred_partners_with_a_hundred_clients_stay_under_a_second(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Two of the clients wait for a signature; each partner has just been looked at."""
    folders = {f"p{number}": tmp_path / f"p{number}" for number in range(MANY)}
    clients = [client(number, is_signed=number > 1) for number in range(CLIENTS_EACH)]
    keys = [one.key for one in clients]
    instance.add_dynamic_partitions(str(CLIENTS.name), [f"{name}/{key}" for name in folders for key in keys])
    for name, folder in folders.items():
        instance.add_dynamic_partitions(f"{CLIENTS.name}/{name}", keys)
        write_look(folder, Look(NOW, tuple(clients), sources={"claims": SourceState("f", may_write=True)}))
    for name in list(folders)[:20]:
        report(instance, name, covered(*clients[2:]))
    seconds, visited = {}, {}
    for visit in VISITS:
        began = time.process_time()
        found = tick(instance, folders, visit)
        seconds[visit.__name__] = time.process_time() - began
        visited[visit.__name__] = len(Turns.of(found.cursor).notes)
    began = time.process_time()
    round_of_reports(instance, None, folders, NOW)
    seconds["reports_outdated"] = time.process_time() - began
    assert max(seconds.values()) < 1.0, seconds
    assert min(visited.values()) >= 5, visited


def test_the_newest_good_run_of_each_partner_is_kept(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """By the newest run of all partners, the others' last materialisations would be deleted."""
    settings = replace(load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "home")}), serves=("a", "b"))
    for partner in ("b", "a", "a"):
        _load(instance, partner)
    assert purge_old_runs(instance, settings, datetime.now(UTC) + timedelta(days=3650)) == 1
    kept = [record.dagster_run.tags[PARTNER_TAG] for record in instance.get_run_records()]
    assert sorted(kept) == ["a", "b"]
