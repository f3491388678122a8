"""The warehouse on Postgres."""
