"""The warehouse: current rows, history, and the pipeline's own records, on DuckDB or Postgres."""
