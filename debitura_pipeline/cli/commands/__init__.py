"""The commands, one file per subject. Each module has a Typer app that `cli/app.py` merges into the main one.

Heavy imports are inside the functions: `--help` and the refusal of a second run must not wait for DuckDB or Dagster.
"""
