"""One `debitura dev` for all partners, or one for each: with both, each night would start twice."""

from __future__ import annotations

from debitura_pipeline.errors import WarehouseBusy
from debitura_pipeline.partners.overview import read_overviews
from debitura_pipeline.settings import open_partners
from debitura_pipeline.warehouse.process_lock import ProcessLock
from debitura_pipeline.warehouse.run_lock import DEV_FILE


def refuse_beside_own() -> None:
    """Raises WarehouseBusy if a partner has a `debitura dev` of its own; SettingsError."""
    for overview in read_overviews(*open_partners()):
        if overview.data_dir is None:
            continue
        holder = ProcessLock(overview.data_dir.resolve() / DEV_FILE).holder()
        if holder is not None:
            raise WarehouseBusy(
                f"Partner {overview.name} has a `debitura dev` of its own: {holder}. Nothing was touched. End that process, or "
                "run one for each partner.",
                pid=holder.pid,
            )
