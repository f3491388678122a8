"""Pages as they were read, turned into typed, redacted Parquet: the landing zone."""
