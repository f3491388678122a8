"""What came of an apply, whether it registers clients or submits claims."""

from __future__ import annotations

from dataclasses import dataclass, field

from debitura_pipeline.outbound.plan_document import PlanDocument

KEY_IS_REFUSED = "The key is refused"  # how the reason of an apply begins that stopped for it


@dataclass(frozen=True)
class AppliedPlan:
    """`planned`: every wanted row before anything was sent, `document`: after it. `sent`: requests that may register or create.

    `stopped`: why not all was tried, None if it was. `unknown`: columns of the source that are ignored. `open_states`: those in
    which a row is not done with.
    """

    planned: PlanDocument
    document: PlanDocument
    sent: int
    stopped: str | None = None
    unknown: tuple[str, ...] = ()
    open_states: frozenset[str] = field(kw_only=True)

    @property
    def is_open(self) -> bool:
        """Whether a row is not done with, such as refused or in doubt, or the apply stopped early."""
        return self.stopped is not None or bool(self.open_states & self.document.summary.keys())
