"""An S3 server of the tests' own, moto's, in a process of its own; it can kill a client at its n-th request.

Belongs here: starting, the bucket, the control door. Does not: assertions. Objects live in the server's memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

BUCKET = "debitura-tests"
REGION = "eu-central-1"
CONTROL = "/tests-control/"
READER = "AKIAREADERONLY"  # requests with this key are not counted


class S3Server:
    """`env`: the settings that reach it, below `prefix`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.s3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        request = urllib.request.Request(
            f"{self.url}/{BUCKET}",
            data=f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>".encode(),
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=30).close()

    def env(self, prefix: str, key: str = "AKIATESTSONLY") -> dict[str, str]:
        return {
            "DEBITURA_SHARED_STORE": f"s3://{BUCKET}/{prefix}",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": "a secret for tests only",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
        }

    def requests(self) -> list[str]:
        """Requests since the last call of `watch`, as `PUT /bucket/name`."""
        return list(self._control("seen"))

    def watch(self) -> None:
        """Forget requests, and kill nobody."""
        self._control("watch")

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Everything below a prefix, by name, as it is stored."""
        return {name: bytes.fromhex(content) for name, content in self._control(f"objects/{prefix}").items()}

    def spoil(self, name: str, content: bytes) -> None:
        """Replace an object behind the pipeline's back."""
        request = urllib.request.Request(f"{self.url}/{BUCKET}/{name}", data=content, method="PUT")
        urllib.request.urlopen(request, timeout=30).close()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _control(self, path: str) -> Any:
        return control(self.url, path)


def control(url: str, path: str) -> Any:
    """One call of the control door. `kill/PID/N/before`: SIGKILL to that process at its n-th request from now, before the
    server acts on it; `after`: once it has, before it answers."""
    with urllib.request.urlopen(f"{url}{CONTROL}{path}", timeout=30) as answer:
        return json.loads(answer.read())


class _Watching:
    """The server as a WSGI application, with the control door."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._seen: list[str] = []
        self._kill: tuple[int, int, str] | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(CONTROL):
            body = json.dumps(self._controlled(path.removeprefix(CONTROL))).encode()
            start_response("200 OK", [("Content-Type", "application/json")])
            return [body]
        if READER in environ.get("HTTP_AUTHORIZATION", ""):
            return self._application(environ, start_response)
        self._seen.append(f"{environ['REQUEST_METHOD']} {path}")
        pid, number, when = self._kill or (0, 0, "")
        is_last = pid and len(self._seen) == number
        if is_last and when == "before":
            os.kill(pid, 9)
            start_response("500 Gone", [])
            return [b""]
        answer = list(self._application(environ, start_response))
        if is_last:
            os.kill(pid, 9)
        return answer

    def _controlled(self, path: str) -> Any:
        what, _, rest = path.partition("/")
        if what == "seen":
            return self._seen
        if what == "objects":
            return _stored(rest)
        self._seen, self._kill = [], None
        if what == "kill":
            pid, number, when = rest.split("/")
            self._kill = int(pid), int(number), when
        return None


def _stored(prefix: str) -> dict[str, str]:
    from moto.s3.models import s3_backends

    found = {}
    for account in s3_backends.values():
        for backend in account.values():
            for bucket in backend.buckets.values():
                for name, key in bucket.keys.items():
                    if name.startswith(prefix):
                        found[name] = key.value.hex()
    return found


def _serve() -> None:
    """Print the port; end when standard input does."""
    import threading

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, _Watching(DomainDispatcherApplication(create_backend_app)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve()
