"""Check Dagster's instance: `dagster.yaml` and its Postgres database. Dagster itself takes seconds to import, so it is not."""

from __future__ import annotations

from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, from_error, passed
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.home import CONFIG, POSTGRES_VARIABLE, check_database, read_config
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.postgres.connection import server_label

NO_WAIT_S = 0.0


def storage_target(settings: Settings) -> str:
    """What the check waits for."""
    dsn = settings.dagster_postgres
    return f"Postgres at {server_label(dsn)} ({POSTGRES_VARIABLE})" if dsn is not None else str(settings.dagster_home)


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check `dagster.yaml`, and the database of DAGSTER_POSTGRES_URL if it is set."""
    yield _config(settings)
    if settings.dagster_postgres is not None:
        try:
            check_database(settings.dagster_postgres, wait_s=NO_WAIT_S)
        except DebituraError as error:
            yield from_error(POSTGRES_VARIABLE, error, settings)
        else:
            yield passed(
                POSTGRES_VARIABLE, f"{server_label(settings.dagster_postgres)}; login and privileges are sufficient"
            )


def _config(settings: Settings) -> Diagnosis:
    path = settings.dagster_home / CONFIG
    try:
        own = read_config(settings)
    except DebituraError as error:
        return from_error(CONFIG, error, settings)
    if own is not None:
        return passed(CONFIG, f"{path}, customised")
    return passed(CONFIG, f"{path}, unmodified" if path.exists() else f"{path}; the first run writes it")
