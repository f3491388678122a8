"""`debitura backup` and `debitura restore`: an archive of everything that cannot be rebuilt."""

from debitura_pipeline.backup.create import back_up
from debitura_pipeline.backup.restore import restore

__all__ = ["back_up", "restore"]
