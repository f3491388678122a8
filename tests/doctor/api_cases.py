"""What can be wrong between this machine and the two APIs: addresses, keys, servers that are something else, clocks, budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from debitura_pipeline.api.rate_limit_state import RateLimitState
from tests.doctor.case import Case, Scene, at_the_sandbox
from tests.doctor.servers import answer, closed_port, self_signed, serving

ME = b'{"id": "1", "invoicingTriggerMode": "PayWhenPaid", "referralFeePercentage": 10}'


def _at(url: Callable[[Scene], str], variable: str = "DEBITURA_API_URL") -> Callable[[Scene], None]:
    """Settings that name an address of the case's own, as for Debitura's test environment."""

    def make(scene: Scene) -> None:
        scene.env.update({"DEBITURA_ENVIRONMENT": "test", "DEBITURA_API_KEY": "s3cret-key"})
        if variable != "DEBITURA_API_URL":
            scene.env.update({**scene.sandbox_env(), "DEBITURA_ENVIRONMENT": "sandbox"})
        scene.env[variable] = url(scene)

    return make


def _answering(body: bytes | None, scheme: str = "http") -> Callable[[Scene], str]:
    return lambda scene: f"{scheme}://127.0.0.1:{scene.stack.enter_context(serving(body))}"


def _tls(scheme: str) -> Callable[[Scene], str]:
    def url(scene: Scene) -> str:
        port = scene.stack.enter_context(serving(answer("200 OK", ME), self_signed(scene.folder)))
        return f"{scheme}://localhost:{port}"

    return url


def _spent(scene: Scene) -> None:
    _at(_answering(answer("200 OK", ME)))(scene)
    now = time.time()
    ledger = RateLimitState(hour_start=now // 3600 * 3600, in_hour=100, day_start=now - 60, in_day=100_000)
    scene.data.mkdir()
    (scene.data / "budget-127.0.0.1.json").write_bytes(msgspec.json.encode(ledger))


def _dated(off: timedelta) -> Callable[[Scene], None]:
    def url(scene: Scene) -> str:  # dated when it is played, not when it is read
        return _answering(answer("200 OK", ME, at=datetime.now(UTC) + off))(scene)

    return _at(url)


def _forbidden(path: str) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        at_the_sandbox()(scene)
        scene.sandbox.faults({"kind": "status", "status": 403, "path": path, "times": 0})
        scene.stack.callback(scene.sandbox.faults)

    return make


def _behind_a_dead_proxy(scene: Scene) -> None:
    _at(lambda _: "https://api.example.com")(scene)
    scene.env["DEBITURA_PROXY"] = f"http://user:s3cret@127.0.0.1:{closed_port()}"


CHECK = "DEBITURA_API_URL"
CASES = [
    Case(
        "a key that is refused",
        at_the_sandbox(DEBITURA_API_KEY="wrong-s3cret"),
        "API",
        "HTTP 401",
        "DEBITURA_API_KEY.*DEBITURA_ENV",
    ),
    Case(
        "a key that may not read the cases",
        _forbidden("/cases"),
        "API",
        r"the key may not read GET /cases \(HTTP 403\)\.$",
        "Ask Debitura for the permission to read /cases with this key",
    ),
    Case(
        "an address with a path",
        _at(lambda scene: f"{_answering(answer('404 Not Found'))(scene)}/v1"),
        "API",
        "HTTP 404",
        "DEBITURA_API_URL contains the path /v1",
    ),
    Case(
        "an address where nothing is listening",
        _at(lambda _: f"http://127.0.0.1:{closed_port()}"),
        "API",
        r"nothing is listening at 127\.0\.0\.1:\d+",
        CHECK,
    ),
    Case(
        "a proxy that is down",
        _behind_a_dead_proxy,
        "API",
        r"the proxy cannot be used: nothing is listening at 127\.0\.0\.1:\d+",
        "^Check DEBITURA_PROXY and whether the proxy is up\\.$",
    ),
    Case(
        "a host that does not exist",
        _at(lambda _: "https://no-such-host.invalid"),
        "API",
        r"the name of no-such-host\.invalid:443 was not found|cannot be reached",
        CHECK,
    ),
    Case(
        "a server that never answers", _at(_answering(None)), "API", r"127\.0\.0\.1:\d+ did not answer in time", CHECK
    ),
    Case(
        "a web page instead of the API",
        _at(_answering(answer("200 OK", b"<!doctype html><p>Hello"))),
        "API",
        r"a web page \(HTML\), not JSON",
        CHECK,
    ),
    Case(
        "https to a port of http",
        _at(_answering(answer("400 Bad"), "https")),
        "API",
        r"127\.0\.0\.1:\d+ does not use TLS",
        CHECK,
    ),
    Case("http to a port of https", _at(_tls("http")), "API", r"localhost:\d+ (does not speak HTTP|.*was lost)", CHECK),
    Case(
        "an untrusted certificate",
        _at(_tls("https")),
        "API",
        r"certificate of localhost:\d+ could not be verified\.$",
        "DEBITURA_CA_FILE.* comes from DEBITURA_API_URL",
    ),
    Case(
        "the API is down",
        _at(_answering(answer("503 Down"))),
        "API",
        "HTTP 503",
        "The API has a problem: try again later",
    ),
    Case(
        "an address that redirects",
        _at(_answering(answer("301 Moved", more="Location: https://x.invalid/\r\n"))),
        "API",
        "HTTP 301.*not followed, since the key would be sent along",
        "Set DEBITURA_API_URL to the address that it redirects to",
    ),
    Case(
        "this machine's clock is behind",
        _dated(timedelta(days=5)),
        "clock",
        r"this machine's clock \(.* UTC\) is (5 days|4 days 23 hours) behind that of 127\.0\.0\.1:",
        "Set the clock, preferably with NTP",
    ),
    Case(
        "this machine's clock is ahead",
        _dated(timedelta(minutes=-3)),
        "clock",
        "is 3 minutes ahead of that of",
        "Set the clock, preferably with NTP",
    ),
    Case("the day's requests are spent", _spent, "request budget", "0 today", r"Wait until .* UTC"),
    Case(
        "the Customer API's port is closed",
        _at(lambda _: f"http://127.0.0.1:{closed_port()}", "DEBITURA_CUSTOMER_API_URL"),
        "Customer API",
        r"nothing is listening at 127\.0\.0\.1:\d+",
        "DEBITURA_CUSTOMER_API_URL",
    ),
    Case(
        "the Customer API's certificate",
        _at(_tls("https"), "DEBITURA_CUSTOMER_API_URL"),
        "Customer API",
        r"certificate of localhost:\d+ could not be verified",
        "DEBITURA_CUSTOMER_API_URL",
    ),
]
