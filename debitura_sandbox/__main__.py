"""`python -m debitura_sandbox serve [options]`."""

from __future__ import annotations

import sys

from debitura_sandbox.server.cli import main, read_arguments

if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(read_arguments(arguments[1:] if arguments[:1] == ["serve"] else arguments))
