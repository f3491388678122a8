"""The program that looks for each partner in turn: a process forked per look, which has that partner's secrets alone.

Started by `debitura dev` where it serves all partners; also runs as `python -m debitura_pipeline.partners.lookout`. This process
itself reads no secret, and does not import Dagster. The more partners there are, the less often each is looked at.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.partners.looking import look_now
from debitura_pipeline.settings import choose_partner, load_common, load_settings, open_partners
from debitura_pipeline.supervision.lookout_beat import beat

EVERY_S = 30.0  # between two looks of a partner: one request each
PER_PARTNER_S = 3.0  # with 200 partners every ten minutes, 144 requests a day each
AT_ONCE = 2
LIMIT_S = 90.0  # more than a look's own time-outs
PAUSE_S = 0.2


class Lookout:
    """Whose turn it is, and the processes that look. `start`: begins a look, and returns its process."""

    def __init__(self, start: Callable[[str], int], now: float) -> None:
        self._start = start
        self._due: dict[str, float] = {}
        self._looking: dict[int, tuple[str, float]] = {}
        self._began = now

    def step(self, partners: list[str], now: float) -> None:
        """End looks that hang, and start those that are due. `now`: seconds of a monotonic clock."""
        pause_s = max(EVERY_S, PER_PARTNER_S * len(partners))
        for pid, (_, since) in self._looking.items():
            if now - since > LIMIT_S:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for number, name in enumerate(partners):  # spread over the first round
            self._due.setdefault(name, self._began + pause_s * number / len(partners))
        busy = {name for name, _ in self._looking.values()}
        for name in sorted(partners, key=self._due.__getitem__):
            if len(self._looking) >= AT_ONCE or self._due[name] > now:
                return
            if name not in busy:
                self._looking[self._start(name)] = (name, now)
                self._due[name] = now + pause_s

    def ended(self, pid: int) -> None:
        """A process has ended."""
        self._looking.pop(pid, None)


def start_look(name: str) -> int:
    """Fork a process that looks for a partner once."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        choose_partner(name)
        look_now(load_settings())
        status = 0
    except (DebituraError, OSError) as error:
        sys.stderr.write(f"{name}: {' '.join(str(error).split())}\n")
    except BaseException as error:  # noqa: BLE001 - its text may quote what it was about
        sys.stderr.write(f"{name}: {type(error).__name__}\n")
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> int:
    """Look until a signal ends this process."""
    lookout, place = Lookout(start_look, time.monotonic()), load_common().data_dir
    while True:
        for pid in _ended():
            lookout.ended(pid)
        with suppress(DebituraError, OSError):  # somebody is editing the file; no process can be started at the moment
            lookout.step(list(open_partners()[0].tables), time.monotonic())
        _beat(place)
        time.sleep(PAUSE_S)


def _ended() -> Iterator[int]:
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            yield pid


def _beat(place: Path) -> None:
    with suppress(OSError):  # a restart would not free a full disk
        beat(place)


if __name__ == "__main__":
    sys.exit(main())
