"""Which error ends a command with which exit status, and the one line that is printed for it.

| status | meaning |
|---|---|
| 0 | done |
| 1 | failed, or the API's own totals contradict the result |
| 2 | bad settings or usage |
| 3 | verification failed |
| 130 | interrupted |

`verify`, `reconcile`, `status` and `doctor` choose between these by what they found, in `cli/commands/`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from debitura_pipeline import failures, interrupts
from debitura_pipeline.cli import json_document
from debitura_pipeline.cli.typed import as_typed
from debitura_pipeline.errors import DebituraError, SettingsError
from debitura_pipeline.settings import Settings, load_settings

DONE, FAILED, BAD_SETTINGS, NOT_PROVEN = 0, 1, 2, 3
INTERRUPTED = interrupts.INTERRUPTED


def exit_status_of(run: Callable[[], object]) -> int:
    """Call `run` and return the exit status. An error is printed to standard error in one line; nothing is raised.

    Only errors that nobody foresaw get a stack trace, without the exceptions' own texts: they may quote a row.
    """
    try:
        run()
    except SystemExit as ended:
        return _of_system_exit(ended)
    except SettingsError as error:
        _print_error(str(error))
        return BAD_SETTINGS
    except DebituraError as error:
        return _failed(str(error) if error.cure else failures.completed(str(error), _settings_or_none()))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return FAILED
    except Exception as error:  # noqa: BLE001 - the outermost handler
        return _failed(failures.one_line(error, _settings_or_none()) or failures.stack_trace(error))
    return DONE


def report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """A `sys.unraisablehook`: print errors of finalizers, except those whose cause the command reports anyway."""
    error = unraisable.exc_value
    if error is not None and not interrupts.was_interrupted() and failures.one_line(error, None) is None:
        _print_error(failures.stack_trace(error))


def discard_output() -> None:
    """Point standard output at /dev/null: its reader is gone, and Python flushes it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


def _of_system_exit(ended: SystemExit) -> int:
    if usage_error := getattr(ended.__context__, "format_message", None):
        json_document.fail(usage_error())
    if ended.code is None:
        return DONE
    return ended.code if isinstance(ended.code, int) else FAILED


def _failed(text: str) -> int:
    """Print why, unless the command was interrupted: then that line is the reason."""
    if not interrupts.was_interrupted():
        _print_error(text)
    return FAILED


def _print_error(text: str) -> None:
    is_trace = text.startswith("Traceback")
    text = text if is_trace else as_typed(text)
    json_document.fail(text.strip().splitlines()[-1] if is_trace else text)
    sys.stderr.write((text if is_trace else " ".join(text.split())) + "\n")


def _settings_or_none() -> Settings | None:
    try:
        return load_settings()
    except Exception:  # noqa: BLE001 - only needed for the message
        return None
