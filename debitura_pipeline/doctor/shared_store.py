"""Check the shared store: can an object be written, read and deleted there, and is it this data directory's?"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, from_error, passed
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.objects import open_objects
from debitura_pipeline.shared_store.working_copy import check_store

WHAT = "shared store"


def where(settings: Settings) -> str:
    """What the check waits for."""
    return settings.shared_store.url if settings.shared_store is not None else "no shared store"


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Write, read and delete an object of a name of its own; nothing without a store."""
    if settings.shared_store is None:
        return
    objects, name, content = (
        open_objects(settings.shared_store),
        f"probe/{secrets.token_hex(8)}",
        secrets.token_bytes(64),
    )
    try:
        objects.require()
        objects.write(name, content)
        found = objects.read(name)
        objects.delete(name)
        if found != content or name in objects.names("probe"):
            yield failed(
                WHAT,
                f"{objects.url} does not return what was just written, or shows what was just deleted.",
                "The store must be strongly consistent, as Amazon S3 is; use another server.",
            )
            return
        missing = check_store(settings, objects)
    except FileNotFoundError:
        yield failed(WHAT, f"{objects.url} does not return what was just written.", "Use another server.")
    except DebituraError as error:
        yield from_error(WHAT, error, settings)
    else:
        more = f"; {missing} syncs of other machines are fetched by the next run" if missing else ""
        yield passed(WHAT, f"{objects.url} can be written, read and deleted{more}")
