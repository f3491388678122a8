"""The report of a finished sync, for logs, Dagster's metadata and the command's summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.sync.judging import differing
from debitura_pipeline.warehouse.base import Judgement, LandedSync, MergeCounts


@dataclass(frozen=True)
class SyncReport:
    """One resource's merged sync. `is_proven`: every required comparison was made and is equal; otherwise `message` says why
    not. `table_rows`: of the current table after the merge. `live_rows`: those not marked as deleted."""

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
        """The report of a merge. `rows`: rows of the table, and live ones."""
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
        """Whether a total of the whole listing differs from the merged rows."""
        return bool(differing(self.control_totals))

    @property
    def proof(self) -> str:
        """`proven`, `unproven` or `contradicted`, of the sync as a whole."""
        return "contradicted" if self.is_contradicted else "proven" if self.is_proven else "unproven"

    @property
    def verdict(self) -> str:
        """The worst result of the control totals that the API stated of the whole listing: `equal`, `unproven` or `differs`."""
        stated = [total for total in self.control_totals if total.api_value is not None and total.scope == "all"]
        verdicts = {total.verdict for total in stated}
        return next((word for word in ("differs", "unproven", "equal") if word in verdicts), "unproven")

    @property
    def differing_clients(self) -> int:
        """Number of clients whose own records state other figures than their merged rows."""
        return len(
            {total.scope for total in self.control_totals if total.scope != "all" and total.verdict == "differs"}
        )

    def facts(self) -> dict[str, Any]:
        """All fields, with the control totals reduced to their verdict, for metadata and logs."""
        facts = asdict(self)
        del facts["control_totals"]
        return facts | {
            "control_totals": self.verdict,
            "proof": self.proof,
            "duration_s": (self.finished_at - self.started_at).total_seconds(),
        }
