"""Publish in a separate process, so that its memory does not add to the run's."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys

from debitura_pipeline.errors import DebituraError, WarehouseBusy, WarehouseError
from debitura_pipeline.orchestration.children import ends_with_us
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.publish import Published, publish_held, published_now, readers_have
from debitura_pipeline.warehouse.published_folder import current_night
from debitura_pipeline.warehouse.run_lock import exclusive_run
from debitura_pipeline.warehouse.shared_nights import share_night
from debitura_pipeline.warehouse.write_guard import check_may_write

GRACE_S = 10.0  # for a process that was interrupted to remove its draft
ERRORS: dict[str, type[DebituraError]] = {"WarehouseBusy": WarehouseBusy}


def publish_apart(settings: Settings) -> Published:
    """`publish` in a child process, with the same result and errors. Settings, with passwords, are passed through a pipe."""
    command = [sys.executable, "-m", __name__]
    with exclusive_run(settings, "publish"):
        check_may_write()
        with (
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,  # noqa: S603 - ours
            ends_with_us(child.pid, first="KILL"),
        ):
            try:
                said, _ = child.communicate(pickle.dumps(settings))
            except BaseException:
                _end(child)
                raise
        night = current_night(settings.published_dir)
        if child.returncode == 0 and night is not None:
            share_night(settings)
            return published_now(settings, night)
    raise _error(settings, child.returncode, said)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGINT)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _error(settings: Settings, status: int, said: bytes) -> DebituraError:
    try:
        kind, message = json.loads(said)
    except ValueError:
        ended = f"by signal {-status}" if status < 0 else f"with status {status}"
        message = f"Publishing ended {ended}. {readers_have(settings.published_dir)}"
        return WarehouseError(message)
    return ERRORS.get(kind, WarehouseError)(message)


def main() -> int:
    """The child: settings from standard input; what went wrong, in one line of JSON, to standard output."""
    try:
        publish_held(pickle.load(sys.stdin.buffer))  # noqa: S301 - from the process that started this one
    except DebituraError as error:
        sys.stdout.write(json.dumps([type(error).__name__, str(error)]))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
