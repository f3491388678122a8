"""The warehouse: is it there, can it be opened, and is it the pipeline's?"""

from __future__ import annotations

from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, of_error, well
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import (
    check_foreign_objects,
    describe_warehouse,
    open_warehouse,
    warehouse_exists,
)

NO_WAIT_S = 0.5  # who asks what is wrong does not want to wait for it to go away


def examine(settings: Settings) -> Iterator[Diagnosis]:
    where, path = describe_warehouse(settings), settings.warehouse.path
    if path is not None and path.is_dir():
        cure = "Set DEBITURA_WAREHOUSE to a file, as in duckdb:///data/warehouse.duckdb."
        yield bad("warehouse", f"{path} is a folder, not a file.", cure)
        return
    try:
        check_foreign_objects(settings, wait_s=NO_WAIT_S)
        if not warehouse_exists(settings, wait_s=NO_WAIT_S):
            yield well("warehouse", f"{where} holds nothing yet; the first run makes it")
            return
        with open_warehouse(settings, read_only=True, wait_s=NO_WAIT_S) as warehouse:
            warehouse.refuse_foreign()
            if "raw.transactions" not in warehouse.tables():
                yield well("warehouse", f"{where} is empty; the first run fills it")
                return
            live = warehouse.rows("SELECT count(*) FROM raw.transactions WHERE _deleted_at IS NULL")[0][0]
        yield well("warehouse", f"{where}, {live:,} live transactions")
    except DebituraError as error:
        yield of_error("warehouse", error, settings)
