"""`python -m tools.conventions`: prints each fault in one line; exit status 1 if there is any."""

from __future__ import annotations

import sys

from tools.conventions import docstrings, layers, names, settings, wheel

CHECKS = {
    "layers": layers.faults,
    "names": names.faults,
    "docstrings": docstrings.faults,
    "settings": settings.faults,
    "wheel": wheel.faults,
}


def main() -> int:
    """Run all checks."""
    found = [f"{name}: {fault}" for name, check in CHECKS.items() for fault in check()]
    for fault in found:
        print(fault)
    print(f"Conventions: {len(found)} faults" if found else "Conventions: all hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
