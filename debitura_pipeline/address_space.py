"""Check the limit on address space (`ulimit -v`, systemd's LimitAS=) against what a command reserves.

Address space is not memory: the JavaScript engine that draws the report's charts reserves 64 GiB of addresses and uses hardly any
of them. A library that cannot reserve addresses aborts the process without an exception, so the limit is checked beforehand.
"""

from __future__ import annotations

import resource

from debitura_pipeline.errors import DebituraError

GIB = 1024**3
NIGHT, SYNC = 72 * GIB, 3 * GIB
LIFT = (
    "Raise it with `ulimit -v unlimited` (LimitAS=infinity in a systemd unit); to limit memory, use systemd's MemoryMax= or "
    "docker's --memory."
)


class AddressSpaceError(DebituraError):
    """The process may not reserve as much address space as it needs."""


def shortage(wanted: int) -> str | None:
    """The fault in one sentence, or None if at least `wanted` bytes may be reserved."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit in (resource.RLIM_INFINITY, -1) or limit >= wanted:
        return None
    return (
        f"address space is limited to {limit / GIB:,.1f} GiB (`ulimit -v`), but {wanted / GIB:,.0f} GiB are needed "
        "(reserved, not used)."
    )


def ensure(wanted: int) -> None:
    """Raise AddressSpaceError if fewer than `wanted` bytes may be reserved."""
    if (fault := shortage(wanted)) is not None:
        raise AddressSpaceError(f"{fault[:1].upper()}{fault[1:]} Nothing was changed.", cure=LIFT)
