"""What only a Postgres warehouse has: connection, binary COPY, roles, schema swap, neighbours, run lock."""
