"""Incremental syncs: compare the API's totals with the warehouse and read only what differs."""
