"""Memory limits of this process: of the machine, and of the container or service that it runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 1024**2
ROOT = Path("/")
LEAST_FOR_DUCKDB, MOST_FOR_DUCKDB = 400 * MIB, 2048 * MIB
PART_FOR_DUCKDB = 8
# cgroup files, version 2 and version 1: limit, usage, and the key of the reclaimable part in memory.stat.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@dataclass(frozen=True, order=True)
class Limit:
    """Bytes that are left of `total`, whose limit it is, and how to raise it."""

    left: int
    total: int
    who: str
    cure: str


def for_duckdb(root: Path = ROOT) -> str:
    """The memory that DuckDB may use while dbt builds: an eighth of all memory, from 400MiB to 2GiB.

    Of all, not of what is left: dbt parses its project again whenever its profile changes.
    """
    total = min((limit.total for limit in limits(root)), default=0)
    return f"{min(max(total // PART_FOR_DUCKDB, LEAST_FOR_DUCKDB), MOST_FOR_DUCKDB) // MIB}MiB"


def limits(root: Path = ROOT) -> Iterator[Limit]:
    """The limits that are known on this system."""
    with suppress(OSError, ValueError, KeyError):
        lines = (line.split() for line in (root / "proc/meminfo").read_text().splitlines())
        sizes = {words[0]: int(words[1]) * 1024 for words in lines if len(words) > 1}
        available = sizes["MemAvailable:"]
        cure = "Close other programs, or give the machine more memory."
        yield Limit(available, sizes.get("MemTotal:", available), "this machine", cure)
    yield from _of_cgroups(root)


def _of_cgroups(root: Path) -> Iterator[Limit]:
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
                if (found := _of_group(folder, names)) is not None:
                    yield found


def _of_group(folder: Path, names: tuple[str, str, str]) -> Limit | None:
    """The limit of one group; None if it has none or cannot be read."""
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
    cure = "Raise the memory limit of the container or service (docker --memory, systemd MemoryMax=)."
    return Limit(max(most - used, 0), most, f"limit of the container or service, {folder}", cure)
