"""An empty warehouse file, made once per process. Commenting four hundred columns takes a quarter of a small first sync.

What a first run makes where nothing is, is tested by those that start commands, and by `tests/warehouse/test_open.py`.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse, private_umask


@cache
def _file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"DEBITURA_DATA_DIR": folder})
        with open_warehouse(settings):
            pass
        return (Path(folder) / "warehouse.duckdb").read_bytes()


def lay_warehouse(settings: Settings) -> None:
    """Put the file where a first sync would make it. Nothing is done on Postgres, nor in a data directory that is there."""
    path = settings.warehouse.path
    if path is None or path.exists() or settings.data_dir.exists():
        return
    content = _file()
    with private_umask():
        for folder in (settings.data_dir, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
