"""The instructions of a Containerfile, as far as ours uses them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: `name` in capitals, `text` as written, on one line."""

    name: str
    text: str

    def words(self) -> list[str]:
        """The words of `text`, without options such as `--from=build`."""
        return [word for word in self.text.split() if not word.startswith("--")]


def read_stages(path: Path) -> list[list[Instruction]]:
    """The instructions of each stage, from its FROM on; those before the first FROM are left out."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[list[Instruction]] = []
    for line in whole.splitlines():
        name, _, text = line.partition(" ")
        if name == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(Instruction(name, text.strip()))
    return stages


def only(stage: list[Instruction], name: str) -> list[Instruction]:
    """The instructions of one kind."""
    return [instruction for instruction in stage if instruction.name == name]
