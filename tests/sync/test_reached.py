"""An outage is waited for where this very address has answered before; anywhere else the address is taken for a wrong one."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from debitura_pipeline.api.outage import OutagePolicy
from debitura_pipeline.errors import ApiOutage, TransientApiError
from debitura_pipeline.settings import Endpoint, Secret
from debitura_pipeline.sync.reached import FILE, was_reached
from debitura_pipeline.warehouse.identity import Identity, IdentityCheck
from tests.support.outside import JumpingClock
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox


def test_a_sync_that_ended_well_makes_its_address_known(shared_sandbox: RunningSandbox, tmp_path: Path) -> None:
    pipeline, told = Pipeline(tmp_path / "data", shared_sandbox), list[str]()
    policy = OutagePolicy(1800.0, told.append)
    down = replace(pipeline.endpoint, base_url="http://127.0.0.1:9")
    up = pipeline.endpoint
    pipeline.endpoint = down
    with pytest.raises(TransientApiError, match="Tried 6 times"):
        pipeline.sync("clients", runtime=JumpingClock().runtime(), outages=policy)
    assert told == []
    pipeline.endpoint = up
    pipeline.sync("clients", outages=policy)
    file = pipeline.settings.data_dir / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pipeline.endpoint = down
    with pytest.raises(TransientApiError, match="Tried 6 times"):
        pipeline.sync("clients", runtime=JumpingClock().runtime(), outages=policy)
    assert told == [], "another port is another address"
    file.write_text('{"api": "http://127.0.0.1:9"}')
    with pytest.raises(ApiOutage, match="gave up after 30 min"):
        pipeline.sync("clients", runtime=JumpingClock().runtime(), outages=policy)
    assert told
    file.write_text("cut off")
    pipeline.endpoint = up
    pipeline.sync("clients")
    assert up.base_url in file.read_text()


def test_a_warehouse_that_others_fill_makes_debituras_own_address_known(
    shared_sandbox: RunningSandbox, tmp_path: Path
) -> None:
    settings = Pipeline(tmp_path / "data", shared_sandbox).settings
    endpoint = Endpoint("https://referral-api.debitura.com", Secret("key"), None, is_simulated=False)
    identity = Identity("production", "referral-api.debitura.com", None, "")
    assert was_reached(settings, endpoint, IdentityCheck(settings, None, identity))
    assert not was_reached(settings, endpoint, IdentityCheck(settings, None, None))
    local = replace(endpoint, base_url="http://127.0.0.1:8080")
    assert not was_reached(settings, local, IdentityCheck(settings, None, identity))
