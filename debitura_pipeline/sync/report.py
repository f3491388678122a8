"""What a sync says of itself when it is done: the figures of logs, of Dagster's metadata and of the closing summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.sync.judging import differing
from debitura_pipeline.warehouse.base import Judgement, LandedSync, MergeCounts


@dataclass(frozen=True)
class SyncReport:
    """One resource's sync, merged. `is_proven`: nothing that should be compared differs or could not be compared; what did or
    could not is in `message`. `table_rows`: of the current table after the merge; `live_rows`: those that are not deleted."""

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
    table_rows: int = 0
    live_rows: int = 0
    control_totals: tuple[ControlTotal, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls, landed: LandedSync, counts: MergeCounts, judgement: Judgement, rows: tuple[int, int] = (0, 0)
    ) -> SyncReport:
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
            is_proven=judgement.is_proven,
            message=judgement.message,
            table_rows=rows[0],
            live_rows=rows[1],
            control_totals=judgement.totals,
        )

    @property
    def is_contradicted(self) -> bool:
        """A total of the whole listing differs from what was merged."""
        return bool(differing(self.control_totals))

    @property
    def proof(self) -> str:
        """Of the sync as a whole: proven, unproven or contradicted."""
        return "contradicted" if self.is_contradicted else "proven" if self.is_proven else "unproven"

    @property
    def verdict(self) -> str:
        """Of the control totals that the API stated: equal, unproven or differs, the worst counting."""
        verdicts = {total.verdict for total in self.control_totals if total.api_value is not None}
        return next((word for word in ("differs", "unproven", "equal") if word in verdicts), "unproven")

    def facts(self) -> dict[str, Any]:
        """Everything but the control totals, for metadata and logs."""
        facts = asdict(self)
        del facts["control_totals"]
        return facts | {
            "control_totals": self.verdict,
            "proof": self.proof,
            "duration_s": (self.finished_at - self.started_at).total_seconds(),
        }
