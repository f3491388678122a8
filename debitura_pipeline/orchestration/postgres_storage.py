"""Dagster's storage on Postgres, in sessions whose time zone is UTC. Named in `deploy/dagster.yaml`.

Dagster keeps instants in columns without a time zone and takes them for UTC, while the server converts them to the session's zone.
Under another default, each instant is hours off: a daemon that is alive seems stale, and a run that starts seems lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

from debitura_pipeline.orchestration.home import use_utc_sessions


class UtcPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` whose process asks every server for UTC."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Called by Dagster with the `config` of `dagster.yaml`."""
        use_utc_sessions()
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )
