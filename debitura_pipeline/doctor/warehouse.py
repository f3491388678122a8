"""Check the warehouse: does it exist, can it be opened, and is it the pipeline's?"""

from __future__ import annotations

from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, from_error, passed
from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import (
    check_foreign_objects,
    describe_warehouse,
    open_warehouse,
    warehouse_exists,
)
from debitura_pipeline.warehouse.schema_version import check_version

NO_WAIT_S = 0.5  # report a lock instead of waiting for it


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check the warehouse, and count its live transactions."""
    where, path = describe_warehouse(settings), settings.warehouse.path
    if path is not None and path.is_dir():
        cure = "Set DEBITURA_WAREHOUSE to a file, as in duckdb:///data/warehouse.duckdb."
        yield failed("warehouse", f"{path} is a folder, not a file.", cure)
        return
    try:
        check_foreign_objects(settings, wait_s=NO_WAIT_S)
        if not warehouse_exists(settings, wait_s=NO_WAIT_S):
            yield passed("warehouse", f"{where} holds nothing yet; the first run creates it")
            return
        with open_warehouse(settings, read_only=True, wait_s=NO_WAIT_S) as warehouse:
            warehouse.refuse_foreign()
            check_version(warehouse)
            if "raw.transactions" not in warehouse.tables():
                yield passed("warehouse", f"{where} is empty; the first run fills it")
                return
            live = warehouse.rows("SELECT count(*) FROM raw.transactions WHERE _deleted_at IS NULL")[0][0]
        yield passed("warehouse", f"{where}, {live:,} live transactions")
    except WarehouseBusy as busy:
        if busy.facts.get("is_run"):
            yield passed("warehouse", f"{where} is in use by the run in progress, so it was not opened")
        else:
            yield from_error("warehouse", busy, settings)
    except DebituraError as error:
        yield from_error("warehouse", error, settings)
