"""Dagster assets. Each one calls a function of `debitura_pipeline`, which does the work."""
