"""Through a real proxy on loopback to a real TLS server behind it, and what is said where the proxy does not do its part."""

from __future__ import annotations

import asyncio
import re
import socket
import traceback
from pathlib import Path

import pytest

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.customer import check_token
from debitura_pipeline.api.http import Timeouts
from debitura_pipeline.api.page_metadata import Page
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.errors import ApiError, TransientApiError
from debitura_pipeline.proxies import Network
from debitura_pipeline.settings import Secret, load_settings
from tests.api.asking import BODY, GOOD, KEY, PATIENT, QUICK, first_page
from tests.api.clockwork import Clockwork
from tests.api.fault_server import FaultServer, reply
from tests.support.certificates import Certificates, make_certificates
from tests.support.connect_proxy import ConnectProxy

HOST = "api.example"  # a name that resolves nowhere: it is the proxy that looks it up
PASSWORD = "p@ss:w/rd"
ESCAPED = "p%40ss%3Aw%2Frd"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("ca"), f"DNS:{HOST}", "IP:127.0.0.1")


def network(proxy_url: str, ca_file: Path | None, variable: str = "DEBITURA_PROXY") -> Network:
    env = {variable: proxy_url, "DEBITURA_API_URL": f"https://{HOST}", "DEBITURA_API_KEY": KEY}
    if ca_file is not None:
        env["DEBITURA_CA_FILE"] = str(ca_file)
    return load_settings(env).network


def client_through(way: Network, tries: int = 1, timeouts: Timeouts = PATIENT) -> ApiClient:
    clock = Clockwork()
    rate_limiter = RateLimiter(1_000_000, clock=clock.now, sleep=clock.sleep)
    return ApiClient(
        f"https://{HOST}", Secret(KEY), rate_limiter, 2,
        clock=clock.now, sleep=clock.sleep, random=lambda: 0.5, timeouts=timeouts, tries=tries, network=way,
    )  # fmt: skip


async def read_through(proxy: ConnectProxy, way: Network, tries: int = 1) -> Page:
    async with client_through(way, tries) as client:
        return await first_page(client)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_pages_and_tokens_go_through_the_proxy_with_its_password(certificates: Certificates, scheme: str) -> None:
    """The proxy sees the host and its own password; the key is for the API alone."""
    authority = certificates.authority

    async def run() -> tuple[Page, FaultServer, ConnectProxy, bool]:
        answers = [GOOD, GOOD, reply(200, {"id": "1"})]
        async with FaultServer(answers, tls=certificates.server) as server:
            tls = certificates.server if scheme == "https" else None
            async with ConnectProxy(server.port, tls=tls) as proxy:
                way = network(f"{scheme}://robot:{ESCAPED}@127.0.0.1:{proxy.port}", authority)
                async with client_through(way) as client:
                    await first_page(client)
                    page = await first_page(client)
                clock = Clockwork()
                access = await check_token(
                    f"https://{HOST}", Secret("token"), RateLimiter.unlimited(),
                    clock=clock.now, sleep=clock.sleep, random=lambda: 0.5, timeouts=PATIENT, network=way,
                )  # fmt: skip
                return page, server, proxy, access.is_granted

    page, server, proxy, is_granted = asyncio.run(run())
    assert (page.body, is_granted) == (BODY, True)
    assert [seen.headers["host"] for seen in server.seen] == [HOST] * 3
    assert server.seen[0].headers["xapikey"] == KEY
    assert "proxy-authorization" not in server.seen[0].headers
    assert len(proxy.seen) == 2, "the connection is kept"
    head = proxy.seen[0].split("\r\n")
    assert head[0] == f"CONNECT {HOST}:443 HTTP/1.1"
    assert "Proxy-Authorization: Basic cm9ib3Q6cEBzczp3L3Jk" in head
    assert KEY not in proxy.seen[0]


def failing(proxy: ConnectProxy, certificates: Certificates, *, is_trusted: bool = True) -> ApiError:
    async def run() -> None:
        async with FaultServer([GOOD], tls=certificates.server) as server, proxy:
            proxy.leads_to = server.port
            authority = certificates.authority if is_trusted else None
            await read_through(proxy, network(f"http://robot:{ESCAPED}@127.0.0.1:{proxy.port}", authority))

    with pytest.raises(ApiError) as caught:
        asyncio.run(run())
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.facts)
    assert f"127.0.0.1:{proxy.port}" in str(caught.value)
    for secret in (PASSWORD, ESCAPED, "cm9ib3Q6", KEY, "quoted"):
        assert secret not in told
    return caught.value


def answer(status: int) -> bytes:
    return f"HTTP/1.1 {status} No\r\nContent-Length: 6\r\n\r\nquoted".encode()


@pytest.mark.parametrize(
    ("proxy", "words", "may_pass"),
    [
        (ConnectProxy(answer=answer(407)), "requires a user and a password.*HTTP 407.*Check DEBITURA_PROXY", False),
        (ConnectProxy(answer=answer(403)), f"does not allow connections to {HOST}:443 \\(HTTP 403\\).*NO_PROXY", False),
        (ConnectProxy(answer=answer(404)), "may not be a proxy. Check DEBITURA_PROXY", False),
        (ConnectProxy(answer=answer(503)), f"could not reach {HOST}:443 \\(HTTP 503\\)", True),
        (ConnectProxy(answer=b""), "the proxy cannot be used: the connection to 127.* was lost", True),
        (ConnectProxy(answer=b"SSH-2.0-quoted\r\n\r\n"), "the proxy cannot be used: the connection to 127.* was lost", True),
        (ConnectProxy(answer=b"x" * 70_000), "the proxy cannot be used", True),
        (ConnectProxy(breaks_tunnel=True), "through the proxy 127.* was lost", True),
    ],
    ids=["password", "forbidden", "no proxy", "no way", "closed", "no HTTP", "endless", "broken tunnel"],
)  # fmt: skip
def test_a_proxy_that_does_not_do_its_part_is_named(
    certificates: Certificates, proxy: ConnectProxy, words: str, may_pass: bool
) -> None:
    error = failing(proxy, certificates)
    assert re.search(words, str(error)), error
    assert isinstance(error, TransientApiError) is may_pass


def test_a_silent_proxy_is_given_up_in_time(certificates: Certificates) -> None:
    async def run() -> None:
        async with ConnectProxy(is_silent=True) as proxy:
            way = network(f"http://127.0.0.1:{proxy.port}", None)
            async with client_through(way, timeouts=QUICK) as client:
                await first_page(client)

    with pytest.raises(
        TransientApiError, match=r"(the proxy 127\.0\.0\.1:\d+|through the proxy.*) did not answer in time"
    ):
        asyncio.run(run())


def test_a_proxy_that_is_down_is_named_with_its_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        port = taken.getsockname()[1]
        way = network(f"127.0.0.1:{port}", None, "https_proxy")
        match = f"the proxy cannot be used: nothing is listening at 127.0.0.1:{port}.*Check https_proxy"
        with pytest.raises(TransientApiError, match=match):
            asyncio.run(read_through(ConnectProxy(), way))


def test_an_authority_that_is_not_trusted_is_told_with_the_setting_that_cures_it(certificates: Certificates) -> None:
    error = failing(ConnectProxy(), certificates, is_trusted=False)
    assert "could not be verified" in str(error)
    assert "DEBITURA_CA_FILE" in str(error)
    assert not error.is_retryable
