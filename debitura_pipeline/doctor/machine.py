"""Check memory, address space and open files: the limits of machine, container and shell against a nightly run's needs."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from debitura_pipeline import address_space
from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.settings import Settings, bytes_of
from debitura_pipeline.settings.declared import DUCKDB_MEMORY as SETTING

DUCKDB_MEMORY = str(SETTING.default)

MIB = 1024**2
ROOT = Path("/")
# A nightly run of some ten thousand rows peaks at about 450 MiB. Its dbt process uses up to DEBITURA_DUCKDB_MEMORY (400 MiB) for
# queries in addition.
NEEDED_BESIDE_DUCKDB = 624 * MIB
NEEDED_FILES = 256
# cgroup files, version 2 and version 1: limit, usage, and the key of the reclaimable part in memory.stat.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check memory, address space and open files. Address space is reported only if it is limited."""
    yield check_memory(settings.duckdb_memory if settings.warehouse.path is not None else DUCKDB_MEMORY)
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
    limits = sorted(_limits(root or ROOT))
    if not limits:
        return passed("memory", "unknown on this system")
    left, who, cure = limits[0]
    wanted = NEEDED_BESIDE_DUCKDB + bytes_of(duckdb_memory)
    if left >= wanted:
        return passed("memory", f"{left / 1024**3:.1f} GiB available ({who})")
    seen = f"{left / MIB:,.0f} MiB available ({who}), but a nightly run needs {wanted / MIB:,.0f}"
    if wanted > NEEDED_BESIDE_DUCKDB + bytes_of(DUCKDB_MEMORY):
        seen += f", including DEBITURA_DUCKDB_MEMORY={duckdb_memory} for dbt's queries"
        cure = f"Reduce DEBITURA_DUCKDB_MEMORY (default {DUCKDB_MEMORY}). {cure}"
    return failed("memory", f"{seen}.", cure)


def _limits(root: Path) -> Iterator[tuple[int, str, str]]:
    """Per limit: bytes left, whose limit it is, and what to do about it."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        yield int(available.split()[1]) * 1024, "this machine", "Close other programs, or give the machine more memory."
    yield from _of_cgroups(root)


def _of_cgroups(root: Path) -> Iterator[tuple[int, str, str]]:
    """The limits of this process's cgroup and of its ancestors."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            names, top = (_V2, root / "sys/fs/cgroup") if not controllers else (_V1, root / "sys/fs/cgroup/memory")
            # In a container the path is often the host's, while the group itself is mounted at the top.
            group = top / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder == top.parent:
                    break
                if (left := _left_in(folder, names)) is not None:
                    cure = "Raise the memory limit of the container or service (docker --memory, systemd MemoryMax=)."
                    yield left, f"limit of the container or service, {folder}", cure


def _left_in(folder: Path, names: tuple[str, str, str]) -> int | None:
    """Bytes left in the group; None if it has no limit or cannot be read."""
    limit, usage, cache = names
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
    except (OSError, ValueError):  # `max`, or no such file
        return None
    if most >= 2**62:  # how version 1 expresses "no limit"
        return None
    with suppress(OSError, ValueError, IndexError):
        stat = dict(line.split()[:2] for line in (folder / "memory.stat").read_text().splitlines())
        used -= int(stat.get(cache, 0))
    return max(most - used, 0)
