"""Carry out the Containerfile where no container engine is, and run a night in the result.

    python -m tests.deploy.image          # as root, on Linux; two minutes

Stands in for the engine: each stage is an overlay on this machine's own root instead of the base image, each instruction is
carried out in it with chroot. Then the root is made read-only, and `debitura nightly` runs as the image's user, without any
capability, on the simulated API. What is not shown: the base image, the layers, and an engine's own way with any of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.deploy.containerfile import Instruction, only, read_stages
from tests.support.sandbox import ROOT

WORK = Path("/mnt")
BASE = "python:3.x-slim@sha256:none-this-machine-stands-in-for-it"
HIDDEN = ("work", "root", "home", "tmp")  # of this machine, so that the image has to have what it needs
PIP = Path.home() / ".config/pip/pip.conf"  # where this machine gets packages
PATHS = f"{sys.base_prefix}/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
USER = "10001"
INSIDE = "IMAGE_NAMESPACE"
NOT_CONTEXT = shutil.ignore_patterns("__pycache__", "target", "logs")


def main() -> int:
    """Start again in a mount namespace of its own, so that nothing is left on this machine."""
    if os.geteuid() != 0:
        say("This has to be run as root: it mounts file systems.")
        return 2
    if INSIDE not in os.environ:
        again = [sys.executable, "-m", "tests.deploy.image"]
        return subprocess.run(
            ["unshare", "--mount", *again], check=False, cwd=ROOT, env={**os.environ, INSIDE: "1"}
        ).returncode
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "size=6g", "tmpfs", str(WORK))
    began = time.monotonic()
    build, final = read_stages(ROOT / "deploy" / "Containerfile")
    first, environment = carry_out(build, WORK / "build", {"PYTHON_IMAGE": BASE}, None)
    image, environment = carry_out(final, WORK / "image", environment, first)
    say(f"built in {time.monotonic() - began:.0f} s; /opt/debitura has {size(image / 'opt/debitura')} MiB")
    return try_it(image, environment, only(final, "ENTRYPOINT")[0], only(final, "CMD")[0])


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def carry_out(
    stage: list[Instruction], place: Path, variables: dict[str, str], source: Path | None
) -> tuple[Path, dict[str, str]]:
    root, folder = overlay(place), "/"
    environment = (
        {key: os.environ[key] for key in ("LANG", "PIP_FIND_LINKS", "PIP_CERT") if key in os.environ}
        | {"PATH": PATHS}
        | variables
    )
    for instruction in stage:
        match instruction.name:
            case "RUN":
                run(root, folder, environment, ["/bin/sh", "-c", instruction.text])
            case "WORKDIR":
                folder = instruction.text
                (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "COPY":
                copy(instruction, root, folder, source)
            case "ENV":
                environment |= given(instruction.text, environment)
    return root, environment


def overlay(place: Path) -> Path:
    for name in ("upper", "scratch", "root"):
        (place / name).mkdir(parents=True)
    root = place / "root"
    layers = f"lowerdir=/,upperdir={place}/upper,workdir={place}/scratch"
    mount("-t", "overlay", "overlay", "-o", layers, str(root))
    for name in HIDDEN:
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root / name))
    python = Path(sys.base_prefix)  # the base image has one in its path
    (root / python.relative_to("/")).mkdir(parents=True, exist_ok=True)
    mount("--bind", str(python), str(root / python.relative_to("/")))
    if PIP.exists():
        shutil.copy(PIP, root / "etc/pip.conf")
    mount("--bind", "/proc", str(root / "proc"))
    mount("--rbind", "/dev", str(root / "dev"))
    return root


def given(text: str, environment: dict[str, str]) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split())
    return {name: value.replace("${PATH}", environment["PATH"]) for name, _, value in pairs}


def copy(instruction: Instruction, root: Path, folder: str, source: Path | None) -> None:
    *names, target = instruction.words()
    start = source if "--from=" in instruction.text else ROOT
    assert start is not None
    into = root / (Path(folder) / target).as_posix().lstrip("/")
    for found in (path for name in names for path in sorted(start.glob(name.lstrip("/")))):
        if found.is_dir():
            skip = NOT_CONTEXT if start == ROOT else None
            shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True, ignore=skip)
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)


def run(root: Path, folder: str, environment: dict[str, str], command: list[str]) -> None:
    where = ["chroot", str(root), "/bin/sh", "-c", f'cd {folder} && exec "$@"', "sh"]
    done = subprocess.run([*where, *command], check=False, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:200]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def size(folder: Path) -> int:
    return int(subprocess.run(["du", "-sm", folder], capture_output=True, text=True, check=True).stdout.split()[0])


def try_it(image: Path, environment: dict[str, str], entrypoint: Instruction, command: Instruction) -> int:
    """A night in the image: root read-only, its user, no capability; then what is writable, and what is not."""
    volumes = [image / "var/lib/debitura", image / "var/lib/dagster"]
    assert [(path.stat().st_uid, oct(path.stat().st_mode)[-3:]) for path in volumes] == [(10001, "700")] * 2
    for volume in volumes:
        mount("-t", "tmpfs", "-o", f"uid={USER},gid={USER},mode=700", "tmpfs", str(volume))
    (image / "tmp").chmod(0o1777)
    mount("-o", "remount,bind,ro", str(image))
    who = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    inside = ["chroot", str(image), *who, *json.loads(entrypoint.text)]
    began = time.monotonic()
    night = subprocess.run(
        [*inside, *json.loads(command.text)], check=False, env=environment, capture_output=True, text=True
    )
    say(f"debitura nightly: exit status {night.returncode} after {time.monotonic() - began:.0f} s")
    say("\n".join((night.stdout + night.stderr).strip().splitlines()[-6:]))
    own = ["/var/lib/debitura", "/var/lib/dagster", "/tmp", "/proc", "/dev"]
    look = [
        "find",
        "/",
        *(word for path in own for word in ("-path", path, "-prune", "-o")),
        "-writable",
        "-not",
        "-type",
        "l",
    ]
    written = subprocess.run(
        [*inside, *look, "-print"], check=False, env=environment, capture_output=True, text=True
    ).stdout.split()
    keys = re.findall(r"(?i)(api_key|password)\s*=\s*\S", "\n".join(environment))
    say(f"writable in the image: {written or 'nothing'}; secrets in its environment: {keys or 'none'}")
    return 1 if night.returncode or written or keys else 0


if __name__ == "__main__":
    sys.exit(main())
