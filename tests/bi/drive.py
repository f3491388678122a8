"""Run pages of the dashboards with Streamlit's AppTest, and print what they show as JSON.

Runs in `.venv-bi`. Standard input: a list of steps, each in a new session:
`{"page": "revenue", "env": {name: value}, "state": {widget key: value}, "cells": {table key: [row, column]}, "click": [button
keys]}`, or `{"link": [path, target]}`, which replaces a link.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

APP = Path(__file__).resolve().parents[2] / "bi" / "app.py"
TEXTS = ("title", "header", "caption", "markdown", "info", "success", "warning", "error")


def main(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_link(*step["link"]) if "link" in step else _page(step) for step in steps]


def _link(path: str, target: str) -> dict[str, Any]:
    draft = Path(path).with_name("draft")
    draft.symlink_to(target)
    draft.replace(path)
    return {}


def _page(step: dict[str, Any]) -> dict[str, Any]:
    os.environ |= step.get("env", {})
    test = AppTest.from_file(str(APP), default_timeout=120)
    for key, value in step.get("state", {}).items():
        test.session_state[key] = date.fromisoformat(value) if key.endswith("month") else value
    test.switch_page(f"dashboards/{step['page']}.py").run()
    for key, cell in step.get("cells", {}).items():
        test.session_state[key] = {"selection": {"rows": [], "columns": [], "cells": [cell[:2]]}}
    if "cells" in step:
        test.run()
    for key in step.get("click", []):
        test.button(key=key).click().run()
    return {
        "metrics": {metric.label: metric.value for metric in test.metric},
        "tables": {table.key or table.proto.alt: _rows(table.value) for table in test.dataframe},
        "exceptions": [exception.message for exception in test.exception],
        **{name: [element.value for element in getattr(test, name)] for name in TEXTS},
        "options": {widget.key: widget.options for widget in (*test.multiselect, *test.selectbox)},
    }


def _rows(frame: Any) -> list[dict[str, Any]]:
    """Cells as JSON; amounts and dates as text, so that no digit is lost."""
    return [{str(name): _cell(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.load(sys.stdin))))
