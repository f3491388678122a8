"""Print a page to PDF with a Chromium that is installed. The browser gets no network, no secrets and a profile of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.sharing import share

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
TIMEOUT_S = 120.0  # some seconds are usual; a page of thousands of clients on a busy machine takes a minute
OPTIONS = (
    "--headless", "--disable-gpu", "--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--no-pdf-header-footer",
)  # fmt: skip


class PdfError(DebituraError):
    """There is no Chromium, or it wrote no PDF. The HTML page is there."""


def print_pdf(page: Path, *, timeout_s: float = TIMEOUT_S) -> Path:
    """Write `<page>.pdf` beside an HTML page, atomically, with the same permissions. Raises PdfError."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise PdfError(
            f"--pdf needs Chromium or Chrome, and none of {', '.join(BROWSERS)} is on the PATH.",
            cure=f"Install one, for example with `apt-get install chromium`, or print {page} from a browser.",
        )
    with tempfile.TemporaryDirectory(prefix="debitura-pdf-") as folder:
        printed = Path(folder) / "page.pdf"
        said = _run(browser, page, printed, timeout_s)
        if not printed.is_file() or not printed.read_bytes().startswith(b"%PDF"):
            raise PdfError(f"{browser} wrote no PDF of {page}: {said}")
        target = page.with_suffix(".pdf")
        content = printed.read_bytes()
    write_private_atomically(target, content, fsync=True, finish=lambda draft: share(draft, page.parent))
    return target


def _run(browser: str, page: Path, printed: Path, timeout_s: float) -> str:
    """What the browser said: its reason, as far as it gave one. Raises PdfError if it takes too long or cannot be started."""
    # As root Chromium refuses to start with its sandbox; it shows nothing but our own page, whose scripts are named by hash.
    unconfined = ("--no-sandbox",) if os.geteuid() == 0 else ()
    command = [browser, *OPTIONS, *unconfined, f"--user-data-dir={printed.parent / 'profile'}", f"--print-to-pdf={printed}",
               page.resolve().as_uri()]  # fmt: skip
    try:
        process = subprocess.Popen(  # noqa: S603 - a browser from the PATH, our own arguments
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment(printed.parent),
            start_new_session=True, text=True, errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise PdfError(f"{browser} cannot be started: {error.strerror}.") from error
    try:
        _, said = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise PdfError(f"{browser} did not print {page} within {timeout_s:.0f} s and was ended.") from error
    finally:
        _end(process)
    lines = said.strip().splitlines() or ["it gave no reason"]
    return next((line for line in lines if "sandbox" in line), lines[-1])[:300]  # the usual reason, among other noise


def _end(process: subprocess.Popen[str]) -> None:
    """End the browser and its children, which may outlive it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with process:  # closes the pipe, and waits
        pass


def _environment(folder: Path) -> dict[str, str]:
    """What a browser needs, and none of the settings: they may hold keys."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "FONTCONFIG_PATH")
        if name in os.environ
    }
    return {
        **kept,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "XDG_CACHE_HOME": str(folder),
    }
