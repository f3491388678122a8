"""What a sync says of itself when it is done: the figures of logs, of Dagster's metadata and of the closing summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.warehouse.base import LandedSync, MergeCounts


@dataclass(frozen=True)
class SyncReport:
    """One resource's sync, done. `is_proven`: as many distinct rows as the API counts, and its totals hold."""

    sync_id: str
    resource: str
    mode: str
    status: str
    started_at: datetime
    finished_at: datetime
    requests: int
    retries: int
    rows_read: int
    inserted: int
    changed: int
    deleted: int
    unchanged: int
    windows: int
    quarantined: int
    drift: int
    is_proven: bool
    message: str | None = None
    control_totals: tuple[ControlTotal, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, landed: LandedSync, counts: MergeCounts, totals: list[ControlTotal]) -> SyncReport:
        return cls(
            sync_id=landed.sync_id,
            resource=landed.resource,
            mode=landed.mode,
            status="done",
            started_at=landed.started_at,
            finished_at=landed.finished_at,
            requests=landed.requests,
            retries=landed.retries,
            rows_read=landed.rows_read,
            inserted=counts.inserted,
            changed=counts.changed + counts.returned,
            deleted=counts.deleted,
            unchanged=counts.unchanged,
            windows=len(landed.windows),
            quarantined=len({row.payload_sha256 for row in landed.bad}),
            drift=len(set(landed.drift)),
            is_proven=True,
            message=landed.message,
            control_totals=tuple(totals),
        )

    @property
    def verdict(self) -> str:
        """Of the control totals together: equal, unproven or differs, the worst counting."""
        verdicts = {total.verdict for total in self.control_totals}
        return next((word for word in ("differs", "unproven", "equal") if word in verdicts), "unproven")

    def facts(self) -> dict[str, Any]:
        """Everything but the control totals, for metadata and logs."""
        facts = asdict(self)
        del facts["control_totals"]
        return facts | {
            "control_totals": self.verdict,
            "duration_s": (self.finished_at - self.started_at).total_seconds(),
        }
