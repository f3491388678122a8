"""What a declared setting is, and how its text becomes a checked value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from debitura_pipeline.errors import SettingsError

T = TypeVar("T")


class Given(NamedTuple):
    """The text of one variable, not empty, without blanks around it. Relative paths start at `root`."""

    name: str
    text: str
    example: str
    root: Path

    def wrong(self, fault: str, example: str | None = None) -> SettingsError:
        """The error to raise: one line that names the variable and gives an example."""
        return wrong(self.name, fault, self.example if example is None else example)


class ValueReader(NamedTuple, Generic[T]):
    """`read` turns a variable's text into its value, or raises SettingsError. `accepts`: its values in words, for the docs.

    `toml`: the type of the value in the partners file: `str`, `int`, `bool`, or `list` for texts that commas separate.
    """

    accepts: str
    read: Callable[[Given], T]
    toml: type = str


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One environment variable.

    `about`: one or more full sentences. `default`: the text that stands for it where it is not set; None if there is none, or
    if it is derived from other settings, as `otherwise` then says. `examples`: values that can be copied; the default where
    none is given. `is_internal`: set by the pipeline for its child processes, not by people. `read_by`: the program that reads
    it, where that is not the pipeline. `is_address`: a secret only if it contains a password. `scope`, with a partners file:
    `shared` settings apply to all partners whose tables do not set them, `own` ones are set in a partner's table alone, and
    `process` ones in none.
    Raises ValueError for a declaration that lacks something.
    """

    name: str
    group: str
    about: str
    reader: ValueReader[T]
    default: str | None = None
    otherwise: str = ""
    examples: tuple[str, ...] = ()
    is_secret: bool = False
    is_address: bool = False
    is_internal: bool = False
    read_by: str = ""
    scope: Literal["shared", "own", "process"] = "shared"

    def __post_init__(self) -> None:
        if not self.about.endswith(".") or "\n" in self.about:
            raise ValueError(f"{self.name}: the description is not a sentence on one line")
        if self.is_secret and self.default:
            raise ValueError(f"{self.name}: a secret has no default")

    @property
    def key(self) -> str:
        """Its name in a table of the partners file."""
        return self.name.removeprefix("DEBITURA_").lower()

    @property
    def example(self) -> str:
        """The value that error messages show."""
        return " or ".join(self.examples) or self.default or ""


class Values:
    """The variables that are set. An empty value counts as not set."""

    def __init__(self, values: Mapping[str, str | None], root: Path) -> None:
        self.texts = {name: value.strip() for name, value in values.items() if value is not None}
        self.root = root

    def optional(self, setting: Setting[T]) -> T | None:
        """The checked value; None where the variable is not set. Raises SettingsError."""
        text = self.texts.get(setting.name)
        return setting.reader.read(self._given(setting, text)) if text else None

    def one(self, setting: Setting[T]) -> T:
        """The checked value, the default where the variable is not set. Raises SettingsError; ValueError without a default."""
        text = self.texts.get(setting.name) or setting.default
        if not text:
            raise ValueError(f"{setting.name} has no default")
        return setting.reader.read(self._given(setting, text))

    def _given(self, setting: Setting[Any], text: str) -> Given:
        return Given(setting.name, text, setting.example, self.root)


def wrong(name: str, fault: str, example: str) -> SettingsError:
    """The error of a setting, in one line."""
    return SettingsError(f"{name} {fault}. Example: {name}={example}", variable=name)
