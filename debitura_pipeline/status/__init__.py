"""What `debitura status` reports: nightly runs, published data, syncs, the run queue, the request budget, open problems."""

from debitura_pipeline.status.document import read_status_document

__all__ = ["read_status_document"]
