"""Check memory, address space and open files: the limits of machine, container and shell against a nightly run's needs."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

from debitura_pipeline import address_space, memory
from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.settings import Settings, bytes_of

MIB = memory.MIB
DUCKDB_MEMORY = f"{memory.LEAST_FOR_DUCKDB // MIB}MiB"  # at least, where the setting does not say
# A nightly run of some ten thousand rows peaks at about 450 MiB. Its dbt process needs at least 400 MiB for
# queries in addition, and uses more where more is left.
NEEDED_BESIDE_DUCKDB = 624 * MIB
NEEDED_FILES = 256


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check memory, address space and open files. Address space is reported only if it is limited."""
    yield check_memory((settings.warehouse.path is not None and settings.duckdb_memory) or DUCKDB_MEMORY)
    if (fault := address_space.shortage(address_space.NIGHT)) is not None:
        yield failed("address space", fault, address_space.LIFT)
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_enough = soft in (resource.RLIM_INFINITY, -1) or soft >= NEEDED_FILES
    seen = "no limit" if soft == resource.RLIM_INFINITY else f"at most {soft:,}"
    if is_enough:
        yield passed("open files", seen)
    else:
        cure = "Raise the limit: `ulimit -n 1024` in the shell, LimitNOFILE= in a systemd unit."
        yield failed("open files", f"{seen} at a time (`ulimit -n`), but a nightly run needs {NEEDED_FILES}.", cure)


def check_memory(duckdb_memory: str = DUCKDB_MEMORY, root: Path | None = None) -> Diagnosis:
    """Compare the available memory, by the tightest known limit, with what a nightly run needs."""
    limits = sorted(memory.limits(root or memory.ROOT))
    if not limits:
        return passed("memory", "unknown on this system")
    left, who, cure = limits[0].left, limits[0].who, limits[0].cure
    wanted = NEEDED_BESIDE_DUCKDB + bytes_of(duckdb_memory)
    if left >= wanted:
        return passed("memory", f"{left / 1024**3:.1f} GiB available ({who})")
    seen = f"{left / MIB:,.0f} MiB available ({who}), but a nightly run needs {wanted / MIB:,.0f}"
    if wanted > NEEDED_BESIDE_DUCKDB + bytes_of(DUCKDB_MEMORY):
        seen += f", including DEBITURA_DUCKDB_MEMORY={duckdb_memory} for dbt's queries"
        cure = f"Reduce DEBITURA_DUCKDB_MEMORY ({DUCKDB_MEMORY} is enough for most). {cure}"
    return failed("memory", f"{seen}.", cure)
