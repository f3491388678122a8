"""dbt under Dagster: which asset a dbt node is, and one quiet dbt process per build.

Belongs here: asset keys, the environment of the dbt process, its start. Does not: models (dbt/) or the asset itself
(assets/warehouse.py). dbt runs as a process of its own, so no connection of it outlives the step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, DbtProject
from packaging.version import Version

from debitura_pipeline.orchestration.children import ends_with_us
from debitura_pipeline.orchestration.described import table_metadata, warehouse
from debitura_pipeline.orchestration.keys import OWNERS
from debitura_pipeline.orchestration.manifest import (
    DBT_PROJECT,
    QUIET,
    dbt_environment,
    obtain_manifest,
    require_dbt,
)
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.schema_swap import create_next_schemas, swap_schemas
from debitura_pipeline.warehouse.postgres.schemas import NEXT
from debitura_pipeline.warehouse.run_lock import exclusive_run
from debitura_pipeline.warehouse.tables import SUPERSEDED

STOPPING_S = 4.0  # for dbt to call its statements off, once it was told to end

RAW_OF_SOURCE = {"partner_history": "clients"}  # written by every sync, so also by the first one


class Translator(DagsterDbtTranslator):
    """Models are keyed by schema and name; the sources are the raw assets, history tables being part of their table."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        schema, name = dbt_resource_props["schema"], dbt_resource_props["name"]
        if dbt_resource_props["resource_type"] == "source" and schema == "raw":
            resource = name.removesuffix("_history").removesuffix(SUPERSEDED)
            return dg.AssetKey(["raw", RAW_OF_SOURCE.get(name, resource)])
        return dg.AssetKey([schema, name])

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """The manifest is parsed for DuckDB whatever the engine is, so kind and table are named here."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        return spec.replace_attributes(
            kinds={"dbt", warehouse()[0]}, owners=OWNERS, metadata={**spec.metadata, **table_metadata(spec.key)}
        )

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return str(dbt_resource_props["schema"])


class QuietDbt(DbtCliResource):
    """DbtCliResource without what costs seconds or leaves the machine.

    As it stands it first runs `dbt --version`, which asks the package index for news, and then opens an adapter of
    its own, for column metadata that is not used here.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(installed_version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> None:  # type: ignore[override]
        return None


def build(context: dg.AssetExecutionContext, settings: Settings) -> Iterator[Any]:
    """`dbt build` of what the run selected, as Dagster events. Raises when a model or a test of severity error fails.

    Unit tests are left to `make test`: their rows are made up, and they say nothing about tonight. On Postgres all of it
    is built beside what readers have, tested there, and put in its place at once.
    """
    database = settings.warehouse
    with exclusive_run(settings, "dbt build"):
        if database.dsn is None:
            with open_warehouse(settings):  # what cannot be opened is named here; dbt tries again for minutes first
                pass
            yield from _run(context, settings, settings.dagster_home / "dbt")
        elif context.is_subset:  # somebody's choice of models: where they stand, one by one
            yield from _run(context, settings, settings.dagster_home / "dbt-postgres-parts")
        else:
            create_next_schemas(database, incremental_models())
            beside = ["--vars", json.dumps({"schema_suffix": NEXT})]
            yield from _run(context, settings, settings.dagster_home / "dbt-postgres", beside)
            swap_schemas(database)


def _run(
    context: dg.AssetExecutionContext, settings: Settings, target: Path, more: Sequence[str] = ()
) -> Iterator[Any]:
    dbt = QuietDbt(project_dir=str(DBT_PROJECT), profiles_dir=str(DBT_PROJECT), dbt_executable=require_dbt())
    with _environment({**QUIET, **dbt_environment(settings)}):
        invocation = dbt.cli(
            ["build", "--exclude-resource-type", "unit_test", *more], context=context, target_path=target
        )
    with suppress(FileNotFoundError):  # not copied where dbt has parsed the models for itself
        (target / "partial_parse.msgpack").chmod(0o600)  # dagster-dbt copies it with its mode
    invocation.termination_timeout_seconds = STOPPING_S
    with ends_with_us(invocation.process.pid, first="KILL"):
        yield from _silenced(invocation.stream())


def incremental_models() -> list[tuple[str, str]]:
    """Schema and name of the models that a build adds to: they start as they are."""
    nodes = json.loads(obtain_manifest().read_text())["nodes"].values()
    return [(node["schema"], node["name"]) for node in nodes if node["config"].get("materialized") == "incremental"]


def _silenced(events: Iterator[Any]) -> Iterator[Any]:
    """dagster-dbt repeats each line of dbt on standard output; `dbt.log` in the target folder has them too."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        while True:
            with redirect_stdout(nowhere):
                event = next(events, None)
            if event is None:
                return
            yield event


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with `values`, for as long as it takes to start a child."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
