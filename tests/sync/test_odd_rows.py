"""Lists with rows of every odd kind, over HTTP: the others load, each odd one stands in quarantine, `status` says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import debitura
from tests.support.pipeline import PRIVACY_KEY, Pipeline
from tests.support.sandbox import RunningSandbox
from tests.support.spoiling_proxy import Spoil, spoiling
from tests.support.truth import expected

DATE = re.compile(rb'("(?:dateCreated|date|dateLinked)": ?)"[^"]*"')
COMPANY = re.compile(rb'("companyName": ?)"[^"]*"')
AMOUNT = re.compile(rb'("(?:grossAmount|amount|earningsUsd)": ?)[-0-9.eE+]+')


def becomes(text: bytes) -> Spoil:
    return lambda _: text


def with_value(pattern: re.Pattern[bytes], value: bytes) -> Spoil:
    def spoil(row: bytes) -> bytes:
        spoilt = pattern.sub(lambda match: match[1] + value, row, count=1)
        assert spoilt != row
        return spoilt

    return spoil


def with_field(text: bytes) -> Spoil:
    return lambda row: b"{" + text + b"," + row.lstrip()[1:]


BAD: dict[str, Spoil] = {
    "null": becomes(b"null"),
    "text": becomes(b'"Zelda Holm"'),
    "number": becomes(b"17"),
    "list": becomes(b'[["Zelda Holm"]]'),
    "not a number": becomes(b"NaN"),
    "no JSON": becomes(b'{"companyName":tru}'),
    "deep": with_field(b'"deep":' + b"[" * 5_000 + b"]" * 5_000),
    "year 1": with_value(DATE, b'"0001-01-01T00:00:00+01:00"'),
    "year 9999": with_value(DATE, b'"9999-12-31T23:59:59.9999999-01:00"'),
    "half a letter": with_value(COMPANY, b'"\\ud800"'),
    "letter zero": with_value(COMPANY, b'"a\\u0000b"'),
    "broken bytes": with_value(COMPANY, b'"\xff\xfe"'),
    "amount NaN": with_value(AMOUNT, b"NaN"),
    "amount of 5,000 digits": with_value(AMOUNT, b"9" * 5_000),
    "amount as words": with_value(AMOUNT, b'"Zelda Holm"'),
}
GOOD: dict[str, Spoil] = {
    "unknown number of 5,000 digits": with_field(b'"huge":' + b"9" * 5_000),
    "unknown NaN": with_field(b'"score":NaN'),
    "unknown half a letter": with_field(b'"remark":"\\ud800","z\\ud800":1'),
    "unknown bytes": with_field(b'"remark":"\xff"'),
    "name twice": with_field(b'"new":1,"new":2'),
    "nested sixty deep": with_field(b'"deep":' + b"[" * 60 + b"]" * 60),
}


@pytest.mark.timeout(300)
def test_odd_rows_of_every_kind_cost_themselves_alone(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """Each of these kinds once ended a sync, by a traceback or by six tries, on that night and every later one."""
    sandbox = sandbox_factory(clients=40, cases=230, transactions=260)
    spoils: dict[str, Spoil] = {}
    kept: dict[str, set[str]] = {}
    for resource, name in (("clients", "creditor_id"), ("cases", "case_id"), ("transactions", "transaction_id")):
        keys = sorted(expected(resource, sandbox.truth(resource), PRIVACY_KEY.encode()))
        bad, good = keys[: len(BAD)], keys[len(BAD) : len(BAD) + len(GOOD)]
        spoils |= dict(zip(bad, BAD.values(), strict=True)) | dict(zip(good, GOOD.values(), strict=True))
        kept[resource] = set(keys[len(BAD) :])
        assert name
    with spoiling(sandbox.url, spoils) as url:
        pipeline = Pipeline(tmp_path / "data", sandbox, DEBITURA_API_URL=url)
        for _ in range(2):
            said = debitura("sync", env=pipeline.env)
            assert said.status == 0, said.err
            assert "Traceback" not in said.err + said.out
        status = debitura("status", env=pipeline.env)
    for resource, good_keys in kept.items():
        truth = expected(resource, sandbox.truth(resource), PRIVACY_KEY.encode())
        found = pipeline.records(resource)
        assert found == {key: truth[key] for key in good_keys}
        open_rows = pipeline.rows(
            "SELECT reason, CAST(payload AS VARCHAR) FROM ops.quarantine WHERE resource = $1 AND resolved_at IS NULL",
            (resource,),
        )
        assert len(open_rows) == len(BAD), open_rows
        for reason, payload in open_rows:
            assert reason
            json.loads(payload)
            assert "Zelda" not in payload
    assert f"{3 * len(BAD)} rows in quarantine" in status.out
