"""Transform pages into typed, redacted Parquet files: the landing zone."""
