"""All commands of `debitura` with their arguments and options, from the help that the command line shows itself."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import typer

from debitura_pipeline.cli.app import click_command
from debitura_sandbox.server.cli import read_arguments
from tools.docs.markdown import prose, table

NAME = "debitura"
SERVE = "sandbox serve"  # reads its own arguments


def render() -> str:
    """Markdown: the options that all commands share, then one section a command."""
    root = click_command()
    shared = [*_options(root, typer.Context(root, info_name=NAME))]
    sections = [f"## Shared options {{ #shared }}\n\n{prose(root.callback.__doc__ or '')}\n\n{_table(shared)}"]
    return "\n\n".join([*sections, *_sections(root, "")]) + "\n"


def names() -> list[str]:
    """Names of all commands, groups of them left out."""
    return [name for name, _ in _walk(click_command(), "")]


def _walk(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _walk(command, f"{before}{name} ")
        elif not command.hidden:
            yield f"{before}{name}", command


def _sections(root: Any, before: str) -> Iterator[str]:
    for name, command in _walk(root, before):
        context = typer.Context(command, info_name=f"{NAME} {name}")
        parts = [f"## `{name}` {{ #{name.replace(' ', '-')} }}", prose(command.help or "")]
        if name == SERVE:
            parts.append(f"```text\n{_serve_help()}\n```")
        else:
            usage = " ".join([NAME, name, *command.collect_usage_pieces(context)])
            parts += [f"```text\n{usage}\n```", _table([*_arguments(command), *_options(command, context)])]
        if command.epilog:
            examples = command.epilog.partition(":")[2].split("|")
            parts.append("```sh\n" + "\n".join(example.strip() for example in examples) + "\n```")
        yield "\n\n".join(part for part in parts if part)


def _arguments(command: Any) -> Iterator[tuple[str, str]]:
    for param in command.params:
        if param.param_type_name == "argument":
            yield f"`{param.name.upper()}`", prose(param.help or "")


def _options(command: Any, context: Any) -> Iterator[tuple[str, str]]:
    """Each option as `--help` shows it: its names and value, then its text with the default."""
    for param in command.params:
        record = None if param.param_type_name == "argument" else param.get_help_record(context)
        if record is not None:
            yield f"`{record[0]}`", prose(record[1])


def _table(rows: list[tuple[str, str]]) -> str:
    return table(("option", "what it does"), rows) if rows else ""


def _serve_help() -> str:
    """The help of a command that has its own parser, at the width of a page."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        read_arguments(["--help"])
    return said.getvalue().strip()
