"""`debitura migrate`: copy a warehouse with its history to another place, on the same engine or the other one."""

from debitura_pipeline.migration.migrate import Migrated, migrate_warehouse
from debitura_pipeline.migration.sides import Sides, masked_address, read_sides
from debitura_pipeline.migration.transfer import NotEqual

__all__ = ["Migrated", "NotEqual", "Sides", "masked_address", "migrate_warehouse", "read_sides"]
