"""All partners together: one DuckDB file with everybody's reports, a page on how each of them stands, and SQL for Postgres.

Reads published files and small local files only: no key, no other secret, no API and no partner's warehouse.
"""

from debitura_pipeline.fleet.write import FleetFacts, write_fleet

__all__ = ["FleetFacts", "write_fleet"]
