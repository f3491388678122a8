"""The limit on address space (`ulimit -v`, LimitAS= of systemd) against what a command reserves of it.

Address space is not memory: to draw the report's charts, the JavaScript engine reserves 64 GiB of addresses and touches almost
none of them. Where it does not get them, or another library none for a thread, that library ends the process without a word
to us; so it is asked beforehand.
"""

from __future__ import annotations

import resource

from debitura_pipeline.errors import DebituraError

GIB = 1024**3
NIGHT, SYNC = 72 * GIB, 3 * GIB
LIFT = (
    "Lift it with `ulimit -v unlimited` (LimitAS=infinity in a systemd unit); to limit memory itself use MemoryMax= of systemd or "
    "--memory of docker."
)


class AddressSpaceError(DebituraError):
    """The process may not reserve as many addresses as it needs."""


def shortage(wanted: int) -> str | None:
    """What is wrong with the limit, in one sentence; None where at least `wanted` bytes may be reserved."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit in (resource.RLIM_INFINITY, -1) or limit >= wanted:
        return None
    return (
        f"address space is limited to {limit / GIB:,.1f} GiB (`ulimit -v`), and this needs {wanted / GIB:,.0f} GiB of it, "
        "reserved rather than used."
    )


def ensure(wanted: int) -> None:
    """Raises AddressSpaceError where less than `wanted` bytes may be reserved."""
    if (fault := shortage(wanted)) is not None:
        raise AddressSpaceError(f"{fault[:1].upper()}{fault[1:]} Nothing was changed.", cure=LIFT)
