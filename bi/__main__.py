"""`python -m bi [--port N]`: serve the dashboards to this machine until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"


def main() -> None:
    """Replace this process by Streamlit's server."""
    parser = argparse.ArgumentParser(prog="python -m bi", description="Serve the dashboards on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="8501 or, if that is taken, any free port unless given")
    port = parser.parse_args().port or _free_port()
    sys.stdout.write(f"Dashboards: http://{HOST}:{port}   (Ctrl-C ends them)\n")
    sys.stdout.flush()
    os.environ["PYTHONPATH"] = str(ROOT)
    options = ["--server.address", HOST, "--server.port", str(port), "--logger.hideWelcomeMessage", "true"]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "bi" / "app.py"), *options]
    os.execv(sys.executable, command)  # noqa: S606 - our own command, no shell


def _free_port() -> int:
    for port in (8501, 0):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("No free port on 127.0.0.1; name one with --port.")


if __name__ == "__main__":
    main()
