"""Rosters and claims for tests: good rows, and CSV files of them."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path
from typing import Any

from debitura_pipeline.settings import Settings, load_settings

PRIVACY_KEY = "a key for tests only 0123456789"


def client_row(number: int = 1, **changes: str) -> dict[str, str]:
    return {
        "external_tenant_id": f"tenant-{number}",
        "company_name": f"Harbour Supplies {number} ApS",
        "country": "DK",
        "support_email": f"office{number}@harbour{number}.example",
        "user_name": f"Ingrid Solvang {number}",
        "user_email": f"ingrid{number}@harbour{number}.example",
        "registration_number": f"1000{number}",
        "address": f"Quay Street {number}",
        **changes,
    }


def claim_row(number: int = 1, **changes: str) -> dict[str, str]:
    return {
        "external_tenant_id": "tenant-1",
        "creditor_reference": f"INV-{number}",
        "amount": "1250.50",
        "currency": "EUR",
        "debtor_type": "company",
        "debtor_name": f"Debtor {number} GmbH",
        "debtor_country": "DE",
        "debtor_contact_person": "Klara Weiss",
        "invoice_date": "2026-01-02",
        "due_date": "2026-02-01",
        **changes,
    }


def as_csv(rows: list[dict[str, str]], delimiter: str = ",", line_end: str = "\n") -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names, delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def put(path: Path, content: str | bytes) -> None:
    """Write a file that looks a minute old: a fresh one is looked at twice, which takes a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    at = time.time_ns() - 60 * 10**9
    os.utime(path, ns=(at, at))


def settings_for(folder: Path, **env: Any) -> Settings:
    return load_settings(
        {"DEBITURA_DATA_DIR": str(folder / "data"), "DEBITURA_PRIVACY_KEY": PRIVACY_KEY}
        | {name: str(value) for name, value in env.items()}
    )
