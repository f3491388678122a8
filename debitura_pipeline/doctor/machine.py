"""Memory, address space and open files: what this machine, the container and the shell leave to a night."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from debitura_pipeline import address_space
from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, well
from debitura_pipeline.settings import Settings, bytes_of
from debitura_pipeline.settings.declared import DUCKDB_MEMORY as SETTING

DUCKDB_MEMORY = str(SETTING.default)

MIB = 1024**2
ROOT = Path("/")
# A night of some ten thousand rows peaks at about 450 MiB. Its dbt process then has DEBITURA_DUCKDB_MEMORY (400 MiB) for queries
# beside what it takes itself.
LEAST_BESIDE_DUCKDB = 624 * MIB
LEAST_FILES = 256
# Where cgroups keep limit, usage and what of it is only cache, version 2 and version 1.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def examine(settings: Settings) -> Iterator[Diagnosis]:
    yield memory(settings.duckdb_memory if settings.warehouse.path is not None else DUCKDB_MEMORY)
    if (fault := address_space.shortage(address_space.NIGHT)) is not None:
        yield bad("address space", fault, address_space.LIFT)
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_enough = soft in (resource.RLIM_INFINITY, -1) or soft >= LEAST_FILES
    seen = "no limit" if soft == resource.RLIM_INFINITY else f"at most {soft:,}"
    if is_enough:
        yield well("open files", seen)
    else:
        cure = "Raise the limit: `ulimit -n 1024` in that shell, LimitNOFILE= in a systemd unit."
        yield bad("open files", f"{seen} at a time (`ulimit -n`), and a night wants {LEAST_FILES}.", cure)


def memory(duckdb_memory: str = DUCKDB_MEMORY, root: Path | None = None) -> Diagnosis:
    """What is available, by the tightest of the limits that are known, against what a night takes."""
    limits = sorted(_limits(root or ROOT))
    if not limits:
        return well("memory", "not known on this system")
    left, who, cure = limits[0]
    wanted = LEAST_BESIDE_DUCKDB + bytes_of(duckdb_memory)
    if left >= wanted:
        return well("memory", f"{left / 1024**3:.1f} GiB available ({who})")
    seen = f"{left / MIB:,.0f} MiB are available ({who}), and a night wants {wanted / MIB:,.0f}"
    if wanted > LEAST_BESIDE_DUCKDB + bytes_of(DUCKDB_MEMORY):
        seen += f", of which DEBITURA_DUCKDB_MEMORY={duckdb_memory} is for dbt's queries"
        cure = f"Set DEBITURA_DUCKDB_MEMORY to less (the default is {DUCKDB_MEMORY}). {cure}"
    return bad("memory", f"{seen}.", cure)


def _limits(root: Path) -> Iterator[tuple[int, str, str]]:
    """Bytes that are left, whose limit that is, and what to do about it."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        yield int(available.split()[1]) * 1024, "this machine", "Close other programs, or give the machine more memory."
    yield from _of_cgroups(root)


def _of_cgroups(root: Path) -> Iterator[tuple[int, str, str]]:
    """Of this process's group and of all above it: each may have a limit."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            names, top = (_V2, root / "sys/fs/cgroup") if not controllers else (_V1, root / "sys/fs/cgroup/memory")
            # In a container the path is often that of the host, and the group itself is mounted at the top.
            group = top / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder == top.parent:
                    break
                if (left := _left_in(folder, names)) is not None:
                    cure = "Raise the memory limit of the container or service (docker --memory, systemd MemoryMax=)."
                    yield left, f"limit of the container or service, {folder}", cure


def _left_in(folder: Path, names: tuple[str, str, str]) -> int | None:
    """None where the group has no limit or cannot be read."""
    limit, usage, cache = names
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
    except (OSError, ValueError):  # `max`, or not there
        return None
    if most >= 2**62:  # version 1's way to say that there is none
        return None
    with suppress(OSError, ValueError, IndexError):
        stat = dict(line.split()[:2] for line in (folder / "memory.stat").read_text().splitlines())
        used -= int(stat.get(cache, 0))
    return max(most - used, 0)
