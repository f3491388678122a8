"""Find running Dagster processes that use this data directory, and refuse to continue beside them.

`debitura dev` is not among them: it holds a lock (`run_lock.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.errors import WarehouseBusy
from debitura_pipeline.settings import Settings

PROC = Path("/proc")
DAEMON, WEB_SERVER, CODE_SERVER, OTHER = "daemon", "web server", "code server", "process"
# By the name of a script, or of a module after `python -m`.
PROGRAMS = {
    "dagster-daemon": DAEMON,
    "dagster._daemon": DAEMON,
    "dagster-webserver": WEB_SERVER,
    "dagster_webserver": WEB_SERVER,
    "dagster": OTHER,
    "dagster._cli": OTHER,
}
RETRY_EVERY_S = 0.5


@dataclass(frozen=True)
class DagsterProcess:
    """A Dagster process. `where`: the variable and folder that it shares with the settings."""

    pid: int
    kind: str
    where: str

    def __str__(self) -> str:
        return f"Dagster's {self.kind} (process {self.pid}) works on {self.where}"


def refuse_while_dagster_runs(
    settings: Settings,
    kinds: Iterable[str] = (DAEMON, WEB_SERVER, CODE_SERVER, OTHER),
    wait_s: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Raises WarehouseBusy if a process of one of `kinds` is still running after `wait_s`."""
    waited_s = 0.0
    while (found := next((one for one in dagster_processes(settings) if one.kind in kinds), None)) is not None:
        if waited_s >= wait_s:
            raise WarehouseBusy(
                f"{found}. Nothing was touched. Stop it (`systemctl stop debitura.target` where systemd runs it), then run "
                "the same command again.",
                pid=found.pid,
            )
        sleep(RETRY_EVERY_S)
        waited_s += RETRY_EVERY_S


def dagster_processes(settings: Settings, proc: Path = PROC) -> Iterator[DagsterProcess]:
    """Running Dagster processes of this data directory, in no particular order."""
    ours = {"DAGSTER_HOME": settings.dagster_home.resolve(), "DEBITURA_DATA_DIR": settings.data_dir.resolve()}
    for folder in proc.glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is another user's
            kind = _kind(_words(folder / "cmdline"))
            if kind is None or int(folder.name) == os.getpid():
                continue
            env = dict(word.partition("=")[::2] for word in _words(folder / "environ"))
            for variable, path in ours.items():
                if (value := env.get(variable)) and (folder / "cwd").resolve().joinpath(value).resolve() == path:
                    yield DagsterProcess(int(folder.name), kind, f"{variable} {path}")
                    break


def _kind(command: list[str]) -> str | None:
    """What a command line starts; None if it is not a Dagster program."""
    program, *arguments = command
    if Path(program).name.startswith("python"):
        while arguments and arguments[0].startswith("-"):
            arguments = arguments[1:]
        program, *arguments = arguments or [""]
    kind = PROGRAMS.get(Path(program).name)
    if kind == OTHER and arguments[:2] in (["api", "grpc"], ["code-server", "start"]):
        return CODE_SERVER
    return kind


def _words(file: Path) -> list[str]:
    return os.fsdecode(file.read_bytes()).split("\0")
