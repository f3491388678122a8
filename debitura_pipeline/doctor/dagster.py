"""Dagster's instance: its `dagster.yaml` and its Postgres database, without Dagster, which takes seconds to load."""

from __future__ import annotations

from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, of_error, well
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.home import CONFIG, POSTGRES_VARIABLE, check_database, read_config
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.postgres.connection import server_label

NO_WAIT_S = 0.0


def described(settings: Settings) -> str:
    """What there is to wait for."""
    dsn = settings.dagster_postgres
    return f"Postgres at {server_label(dsn)} ({POSTGRES_VARIABLE})" if dsn is not None else str(settings.dagster_home)


def examine(settings: Settings) -> Iterator[Diagnosis]:
    yield _config(settings)
    if settings.dagster_postgres is not None:
        try:
            check_database(settings.dagster_postgres, wait_s=NO_WAIT_S)
        except DebituraError as error:
            yield of_error(POSTGRES_VARIABLE, error, settings)
        else:
            yield well(POSTGRES_VARIABLE, f"{server_label(settings.dagster_postgres)}; login and rights are there")


def _config(settings: Settings) -> Diagnosis:
    path = settings.dagster_home / CONFIG
    try:
        own = read_config(settings)
    except DebituraError as error:
        return of_error(CONFIG, error, settings)
    if own is not None:
        return well(CONFIG, f"{path}, your own")
    return well(CONFIG, f"{path}, as it was written" if path.exists() else f"{path}; the first run writes it")
