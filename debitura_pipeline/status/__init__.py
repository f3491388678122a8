"""How it stands: nights, what is published, syncs, the queue, the budget, and what is open. The body of `debitura status`."""

from debitura_pipeline.status.standing import read_standing

__all__ = ["read_standing"]
