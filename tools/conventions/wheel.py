"""The wheel holds every module, template and `py.typed`, and nothing of tests, tools or benchmarks.

`make lint` asks setuptools what it would put in; `python -m tools.conventions.wheel FILE` looks into a wheel that was built.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Collection, Iterator
from contextlib import chdir
from pathlib import Path

from tools.conventions.source import PACKAGES, ROOT

TYPED = ("debitura_pipeline", "debitura_sandbox")
NOT_PACKAGED = {".pyc", ".pyo"}


def faults() -> Iterator[str]:
    """What setuptools would leave out or put in wrongly, in one line each."""
    return differences(planned())


def differences(held: Collection[str]) -> Iterator[str]:
    """What of `held`, paths inside of a wheel, is missing or does not belong there."""
    wanted = set(needed())
    yield from (f"{path} is not in the wheel" for path in sorted(wanted - set(held)))
    yield from (f"{path} does not belong in the wheel" for path in sorted(set(held) - wanted))


def needed() -> Iterator[str]:
    """Everything below the packages, and the markers that tell type checkers to read them."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix not in NOT_PACKAGED:
                yield path.relative_to(ROOT).as_posix()
    yield from (f"{package}/py.typed" for package in TYPED)


def planned() -> set[str]:
    """Files that setuptools would put into a wheel; nothing is written."""
    from setuptools.dist import Distribution  # noqa: PLC0415 - takes half a second

    with chdir(ROOT):
        distribution = Distribution({"script_name": "setup.py"})
        distribution.parse_config_files()
        command = distribution.get_command_obj("build_py")
        command.ensure_finalized()
        base = Path(command.build_lib)
        return {Path(path).relative_to(base).as_posix() for path in command.get_outputs(include_bytecode=False)}


def main(wheel: Path) -> int:
    """Print what is wrong with a built wheel; status 1 if anything is."""
    with zipfile.ZipFile(wheel) as archive:
        held = [name for name in archive.namelist() if ".dist-info/" not in name]
    found = list(differences(held))
    for fault in found:
        sys.stdout.write(f"{os.fspath(wheel)}: {fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
