"""What a page costs through each HTTP transport that could stand below `api/http.py`: CPU of a request, and of the import.

`python -m bench.transports [--runs 5]`. Those that are not installed are left out; the locked environment has the first two.
For the others: a virtual environment of their own with requirements.txt and `pip install httpx-aiohttp`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from bench import machine, pages

IN_FLIGHT, PAGES, OF_LISTING = 8, 1_500, 700
HEADERS = {"XApiKey": machine.KEY, "Accept": "application/json", "Accept-Encoding": "gzip"}
TIMEOUT_S = 30.0

Get = Callable[[str, int], Awaitable[bytes]]  # address of a page, number of the worker


def own() -> Get:
    """The transport of this project."""
    import httpx

    from debitura_pipeline.api.transport import Connection

    connections = [Connection(None) for _ in range(IN_FLIGHT)]
    extensions = {"timeout": httpx.Timeout(TIMEOUT_S).as_dict()}

    async def get(address: str, worker: int) -> bytes:
        request = httpx.Request("GET", address, headers=HEADERS, extensions=extensions)
        response = await connections[worker].handle_async_request(request)
        return b"".join([part async for part in response.aiter_raw()])

    return get


def httpx_itself() -> Get:
    """httpx's own transport."""
    import httpx

    return _over(httpx.AsyncHTTPTransport())


def httpx_over_aiohttp() -> Get:
    """httpx over the transport of httpx-aiohttp."""
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector
    from httpx_aiohttp import AiohttpTransport

    def session() -> ClientSession:
        return ClientSession(connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar(), read_bufsize=1 << 20)

    return _over(AiohttpTransport(client=session))


def aiohttp_alone() -> Get:
    """aiohttp without httpx."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
    from yarl import URL

    session = ClientSession(
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=1 << 20,
        timeout=ClientTimeout(sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S),
    )

    async def get(address: str, worker: int) -> bytes:
        async with session.get(URL(address, encoded=True), headers=HEADERS, allow_redirects=False) as response:
            return bytes(await response.read())

    return get


def _over(transport: object) -> Get:
    import httpx

    extensions = {"timeout": httpx.Timeout(TIMEOUT_S).as_dict()}
    assert isinstance(transport, httpx.AsyncBaseTransport)

    async def get(address: str, worker: int) -> bytes:
        request = httpx.Request("GET", address, headers=HEADERS, extensions=extensions)
        response = await transport.handle_async_request(request)
        body = b"".join([part async for part in response.aiter_raw()])
        await response.aclose()
        return body

    return get


CONTESTANTS = {
    "own": own,
    "httpx": httpx_itself,
    "aiohttp": aiohttp_alone,
    "httpx over aiohttp": httpx_over_aiohttp,
}


async def read_pages(name: str, address: str) -> tuple[float, float]:
    """CPU seconds of the import with the set-up, and of reading PAGES pages with kept connections."""
    began = time.process_time()
    get = CONTESTANTS[name]()
    imported_s = time.process_time() - began
    numbers = iter(range(IN_FLIGHT + PAGES))

    async def worker(number: int, least: int) -> None:
        for page in numbers:
            await get(address + pages.PATH.format(page=page % OF_LISTING + 1), number)
            if page >= least:
                return

    await asyncio.gather(*(worker(number, 0) for number in range(IN_FLIGHT)))  # connections
    began = time.process_time()
    await asyncio.gather(*(worker(number, IN_FLIGHT + PAGES) for number in range(IN_FLIGHT)))
    return imported_s, time.process_time() - began


def in_process_of_its_own(name: str, address: str) -> tuple[float, float] | None:
    """The figures of `read_pages` in a new interpreter; None if a package is not installed."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.transports", "--one", name, "--address", address]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in ended.stderr:
        return None
    imported_s, read_s = json.loads(ended.stdout.splitlines()[0])
    return imported_s, read_s


def measure(runs: int) -> None:
    """Print medians of runs in turn."""
    with machine.sandbox("--cases", "25000", "--transactions", "75000") as address:
        pages.warm(address)
        rounds = [{name: in_process_of_its_own(name, address) for name in CONTESTANTS} for _ in range(runs)]
    print("| transport | import, ms of CPU | a page, ms of CPU |\n|---|---|---|")
    for name in CONTESTANTS:
        figures = [figure for found in rounds if (figure := found[name]) is not None]
        if figures:
            imported_s, read_s = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"| {name} | {imported_s * 1000:.0f} | {read_s * 1000 / PAGES:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.transports")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", choices=tuple(CONTESTANTS))
    parser.add_argument("--address", default="")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asyncio.run(read_pages(options.one, options.address))), flush=True)
    else:
        print(f"{machine.describe()}, {machine.load_now()}; {options.runs} runs\n", flush=True)
        measure(options.runs)


if __name__ == "__main__":
    main()
