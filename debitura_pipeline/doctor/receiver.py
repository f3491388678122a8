"""Check the receiver of webhooks: whether one runs on this data directory, and whether it answers. Nothing without secrets.

A receiver of another machine or container is only named: the address that it listens on is its own loopback, as a rule.
"""

from __future__ import annotations

import json
import platform
import urllib.error
import urllib.request
from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.process_lock import Holder
from debitura_pipeline.webhooks.inbox import PURPOSE, address_of, receiver_lock
from debitura_pipeline.webhooks.receiver import HEALTH

NAME = "receiver"
ANSWER_S = 3.0  # it answers in milliseconds, and somebody is waiting
STORES_NOTHING = 503


def examine(settings: Settings, answer_s: float = ANSWER_S) -> Iterator[Diagnosis]:
    """One look at the lock of the inbox, and one request. That no receiver runs here is told, but no fault."""
    if not settings.webhooks.secrets:
        return
    holder = receiver_lock(settings.data_dir).holder()
    if holder is None or not holder.what.startswith(PURPOSE):
        seen = "DEBITURA_WEBHOOK_SECRETS is set, but no receiver runs on this data directory; `debitura webhooks serve` starts one"
        yield passed(NAME, seen if holder is None else f"none runs; the inbox is held by {holder}")
        return
    address = address_of(holder)
    if address is None or holder.host != platform.node():
        yield passed(NAME, f"running: {holder}")
        return
    yield _asked(holder, address, answer_s)


def _asked(holder: Holder, address: str, answer_s: float) -> Diagnosis:
    """What the receiver says of itself."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never use a proxy for loopback
    try:
        with direct.open(address + HEALTH, timeout=answer_s):
            return passed(NAME, f"running: process {holder.pid}, answers at {address}")
    except urllib.error.HTTPError as refused:
        with refused:
            if refused.code == STORES_NOTHING:
                seen = f"process {holder.pid} cannot store events ({_reason(refused.read())}) and answers 503."
                return failed(
                    NAME, seen, "Check the disk of the data directory; deliveries come again for an hour and a half."
                )
            seen = f"process {holder.pid} is running, but HTTP {refused.code} comes from {address}."
    except OSError:  # also of urllib
        seen = f"process {holder.pid} is running, but does not answer at {address} within {answer_s:.0f} s."
    return failed(
        NAME,
        seen,
        "End that process, with SIGKILL if need be, and start it again: what it answered 200 is on the disk.",
    )


def _reason(body: bytes) -> str:
    """The last error of a health document."""
    try:
        return str(json.loads(body)["last_error"] or "the disk is too slow")
    except (ValueError, KeyError, TypeError):
        return "it does not say why"
