"""Two machines, one Postgres, one store at an S3 server: after a kill either goes on. `make shared-store` has all the moments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from debitura_pipeline.errors import IdentityRefused
from tests.shared_store.runner import KILLED, running
from tests.shared_store.trial import Trial
from tests.support.day import day
from tests.support.pipeline import PRIVACY_KEY, Pipeline
from tests.support.postgres import Database
from tests.support.s3 import S3Server
from tests.support.sandbox import KEY, start_sandbox

UPLOADS = 20  # requests of a night that upload, from the fifth on; the rest tidy up


@pytest.fixture
def trial(tmp_path: Path, postgres: Database) -> Iterator[Trial]:
    server, sandbox = S3Server(), start_sandbox(clients=3, cases=40, transactions=50, seed=5, no_rate_limit=True)
    try:
        with running() as runner:
            yield Trial(tmp_path, sandbox, server, postgres, runner)
    finally:
        sandbox.stop()
        server.stop()


def test_a_killed_night_is_gone_on_with_on_another_machine(trial: Trial) -> None:
    """Merged but not uploaded, a sync would be lost with its machine, and every later certificate would not verify."""
    assert trial.night("first") == (0, "")
    trial.next_day()
    assert trial.night("first", at=5 + day() % UPLOADS, when="before").status == KILLED
    assert trial.night("second") == (0, "")
    trial.check("second")
    trial.check_replay()
    stranger = Pipeline(
        trial.folder / "stranger",
        trial.sandbox,
        **trial.server.env(trial.prefix),
        DEBITURA_WAREHOUSE=trial.database.url,
        DEBITURA_PRIVACY_KEY="another key for tests only 9876543210",
    )
    with pytest.raises(IdentityRefused, match="another privacy key than that of this machine"):
        stranger.sync()
    assert [path.name for path in stranger.settings.data_dir.iterdir()] == ["run.lock"]
    stored = trial.server.objects(trial.prefix)
    secrets = [PRIVACY_KEY, KEY, "a secret for tests only", trial.database.url.rpartition("@")[0].rpartition(":")[2]]
    assert not [(name, secret) for name, body in stored.items() for secret in secrets if secret.encode() in body]
    assert not [name for name in stored if "key" in name or ("warehouse.duckdb" in name and "published" not in name)]
    personal = [name.encode() for name in trial.sandbox.personal()]
    assert not [name for name, body in stored.items() for text in personal if text in body]
