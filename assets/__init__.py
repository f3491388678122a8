"""Dagster assets, thin: each body calls one function of `debitura_pipeline`."""
