"""What `debitura status` reports: nightly runs, published data, syncs, the run queue, the request budget, open problems."""
