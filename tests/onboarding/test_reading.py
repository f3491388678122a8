"""Which clients are read, and how little of them is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from debitura_pipeline.errors import ApiError, RefusedError, ShapeError, TransientApiError
from debitura_pipeline.landing.business_key import is_pseudonym
from debitura_pipeline.onboarding import reading
from debitura_pipeline.onboarding.access import AccessCheck, try_access
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.lifecycle import Client
from debitura_pipeline.onboarding.reading import Found, read_clients, read_newest, read_some
from debitura_pipeline.settings import Endpoint, Secret, Settings, load_settings
from debitura_pipeline.sync.clients import WantedClient, sync_clients
from tests.support import leaks
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

CREDITOR = "0B9F4A52-6F0E-4C1E-8A55-3D1A7C2E9B77"


def page(*rows: object, key: str = "clients") -> bytes:
    return json.dumps({"page": {"totalResults": len(rows)}, key: list(rows)}).encode()


def row(tenant: object = "acme", creditor: object = CREDITOR, **more: object) -> dict[str, object]:
    return {"externalTenantId": tenant, "client": {"id": creditor, "companyName": "A"}, "onboardingDone": True, **more}


def settings_for(tmp_path: Path) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(tmp_path), "DEBITURA_REQUESTS_PER_MINUTE": "1000000"})


def endpoint_of(sandbox: RunningSandbox) -> Endpoint:
    return Endpoint(sandbox.url, Secret(sandbox.key), sandbox.customer_url, is_simulated=True)


def found_of(answer: Found | ApiError) -> Client | None:
    assert isinstance(answer, Found)
    return answer.client


def test_only_ids_and_states_are_taken_from_a_row() -> None:
    (found,) = read_clients(
        page(row(dateLinked="2026-01-02T03:04:05", kycStatus="not_required", users=[{"email": "e"}]))
    )
    assert (found.tenant, found.creditor_id, found.is_signed) == ("acme", CREDITOR.lower(), True)
    assert found.linked_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert set(vars(found)) == {"tenant", "creditor_id", "is_signed", "kyc_status", "linked_at", "cases"}


def test_any_letter_case_is_read() -> None:
    (found,) = read_clients(
        page({"ExternalTenantId": "a", "Client": {"Id": CREDITOR}, "OnboardingDone": True}, key="Clients")
    )
    assert found.is_signed


def test_only_a_plain_true_is_a_signature() -> None:
    unsigned = [row(onboardingDone=value) for value in (False, None, "true", 1)]
    assert [client.is_signed for client in read_clients(page(*unsigned))] == [False] * 4


@pytest.mark.parametrize(
    "odd",
    [
        row(None),
        row(""),
        row(7),
        row("\ud800"),
        row(creditor=None),
        row(creditor="a@b"),
        {},
        None,
        "x",
        row() | {"client": 1},
    ],
)
def test_a_row_that_cannot_be_a_client_is_left_out_and_the_rest_is_read(odd: object) -> None:
    """One odd row must not keep every other client from being onboarded."""
    assert [client.tenant for client in read_clients(page(odd, row("good")))] == ["good"]


@pytest.mark.parametrize(
    "odd",
    [
        b"null",
        b"NaN",
        b'{"a":}',
        b'"\xff"',
        b"9" * 5_000,
        b"[" * 9_000 + b"]" * 9_000,
        b'{"externalTenantId":"\\ud800"}',
    ],
    ids=lambda odd: repr(odd[:12]),
)
def test_a_row_that_json_cannot_hold_is_left_out_too(odd: bytes) -> None:
    body = page("ODD", row("good", linked=1, dateLinked="0001-01-01T00:00:00+01:00", kycStatus="Zelda"))
    (client,) = read_clients(body.replace(b'"ODD"', odd))
    assert (client.tenant, client.linked_at, client.kyc_status) == ("good", None, "[withheld]")


def test_a_tenant_id_that_is_an_email_address_is_asked_with_and_never_kept(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """The partition key, the tables and the journal hold a pseudonym; the API hears the id that it knows."""
    sandbox = sandbox_factory(clients=3)
    address = "zelda.holm@firma.example"
    sandbox.admin("clients", {"tenant": address, "cases": 4, "transactions": 5})
    pipeline = Pipeline(tmp_path, sandbox)
    (client,) = (
        one for one in read_newest(pipeline.settings, pipeline.endpoint, lambda _: False) if is_pseudonym(one.tenant)
    )
    assert address not in client.key
    nobody = ClientRef("hashed-" + "0" * 32, client.creditor_id)
    assert found_of(read_some(pipeline.settings, pipeline.endpoint, [client.ref])[client.ref]) == client
    tried = try_access(pipeline.settings, pipeline.endpoint, [client.ref, nobody])
    assert isinstance(tried[client.ref], AccessCheck)
    assert "lists no client" in str(tried[nobody])
    found = sync_clients(pipeline.settings, pipeline.endpoint, [WantedClient(client.tenant)])
    read = {report.resource: report.rows_read for report in found.reports}
    assert read == {"clients": 1, "cases": 4, "transactions": 5}
    assert pipeline.rows("SELECT DISTINCT external_tenant_id FROM raw.cases") == [(client.tenant,)]
    pipeline.sync()
    assert leaks.find(tmp_path, [address, "zelda.holm"]) == {}


def test_rows_that_are_no_list_are_an_error_and_not_zero_clients() -> None:
    with pytest.raises(ShapeError):
        read_clients(b'{"clients": {"a": 1}}')


def test_reading_stops_at_the_first_page_that_is_all_known(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """One request a tick, not one per hundred clients."""
    sandbox = sandbox_factory(clients=230, cases=10, transactions=10)
    settings, endpoint = settings_for(tmp_path), endpoint_of(sandbox)
    whole = read_newest(settings, endpoint, lambda _: False)
    assert len(whole) == len({client.key for client in whole}) == 230
    linked = [client.linked_at for client in whole if client.linked_at]
    assert linked == sorted(linked, reverse=True)
    known = {client.key for client in whole}
    assert len(read_newest(settings, endpoint, known.__contains__)) == 100
    known.discard(whole[150].key)
    assert len(read_newest(settings, endpoint, known.__contains__)) == 100, (
        "behind the known: its partition remembers it"
    )
    known = (known | {whole[150].key}) - {whole[50].key}
    assert len(read_newest(settings, endpoint, known.__contains__)) == 200


def test_some_clients_are_read_by_as_many_requests_as_it_takes(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """A page of the newest shows fifty new clients in one request; an old one is asked for by itself."""
    sandbox = sandbox_factory(clients=230, cases=10, transactions=10)
    settings, endpoint = settings_for(tmp_path), endpoint_of(sandbox)
    whole = read_newest(settings, endpoint, lambda _: False)
    replaced = ClientRef(whole[150].tenant, CREDITOR)
    before = sum(sandbox.log().values())
    newest = read_some(settings, endpoint, [one.ref for one in whole[:50]])
    assert [found_of(one) for one in newest.values()] == whole[:50]
    assert sum(sandbox.log().values()) - before <= 2, "the log is asked for too"
    found = read_some(settings, endpoint, [whole[150].ref, replaced])
    assert [found_of(one) for one in found.values()] == [whole[150], None]
    many = [one.ref for one in whole[90:160:10]]
    assert list(read_some(settings, endpoint, [*many, replaced])) == [*many, replaced]


def test_a_client_that_cannot_be_asked_for_is_told_beside_the_others(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = sandbox_factory(clients=3)
    settings, endpoint = settings_for(tmp_path), endpoint_of(sandbox)
    whole = read_newest(settings, endpoint, lambda _: False)
    refused = {"kind": "status", "status": 403, "path": "/clients", "query": whole[1].tenant, "times": 0}
    sandbox.faults(refused)
    found = read_some(settings, endpoint, [one.ref for one in whole])
    assert [isinstance(one, ApiError) for one in found.values()] == [False, True, False]
    with pytest.raises(ApiError, match="403"):
        read_some(settings, endpoint, [whole[1].ref])


def test_a_reading_that_never_answers_ends_in_time(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster cuts the tick off otherwise, and calls it an error without a reason."""
    sandbox = sandbox_factory()
    sandbox.faults({"kind": "stall", "path": "/clients", "times": 0, "delay_s": 30})
    monkeypatch.setattr(reading, "READ_WITHIN_S", 0.5)
    with pytest.raises(TransientApiError, match="took more than"):
        read_newest(settings_for(tmp_path), endpoint_of(sandbox), lambda _: False)


def test_a_token_is_minted_tried_and_in_no_answer(shared_sandbox: RunningSandbox, tmp_path: Path) -> None:
    settings, endpoint = settings_for(tmp_path), endpoint_of(shared_sandbox)
    signed = next(one for one in read_newest(settings, endpoint, lambda _: False) if one.is_signed)
    access = try_access(settings, endpoint, [signed.ref])[signed.ref]
    assert isinstance(access, AccessCheck)
    assert access.was_tried
    assert "eyJ" not in repr(access), "no token"
    untried = try_access(settings, Endpoint(endpoint.base_url, endpoint.api_key, None, True), [signed.ref])[signed.ref]
    assert isinstance(untried, AccessCheck)
    assert not untried.was_tried
    assert untried.remark is not None
    assert not any("eyJ" in path.read_text(errors="ignore") for path in tmp_path.rglob("*") if path.is_file())


def test_a_token_for_a_client_that_is_not_there_is_refused(shared_sandbox: RunningSandbox, tmp_path: Path) -> None:
    nobody, too_long = ClientRef("nobody", CREDITOR), ClientRef("x" * 256, CREDITOR)
    found = try_access(settings_for(tmp_path), endpoint_of(shared_sandbox), [nobody, too_long])
    assert [type(one) for one in found.values()] == [RefusedError, RefusedError]
    assert "HTTP 404" in str(found[nobody])
    assert "255" in str(found[too_long])
