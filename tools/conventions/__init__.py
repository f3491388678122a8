"""Checks of the code base that ruff and mypy do not make. Run by `make lint`."""
