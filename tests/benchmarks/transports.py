"""Measures what one request costs by each transport: CPU time of the sender, TLS included, beside our own connection.

    python -m tests.benchmarks.transports [--requests 2000] [--rounds 3]

Each transport posts one body again and again from 16 threads, in a process of its own, to the sink. No body is read,
mapped or packed. In turns; the median of the rounds counts. Read the ratios: they were measured in one run.

httpx2 and pyreqwest are in the peers' environment (`make .venv-bench/done`). None of them but our own connection looks
for an early answer, notices bytes that nobody asked for, or cuts an exchange at one deadline for all of it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

LANES = 16
ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-bench/bin/python"
PATH = "/api/v2/batch"
HEADERS = {"Authorization": "Basic c2l0ZTprZXk=", "Content-Type": "application/json", "Accept-Encoding": "identity"}
DEADLINE_S = 600.0
OURS = "ours"

Post = Callable[[bytes], int]  # sends a body, and gives the status of its answer
MakePost = Callable[[str, Path, ExitStack], Post]  # address, certificate of the authority; one for each lane


def ours(url: str, ca: Path, closing: ExitStack) -> Post:
    """The connection of `cio-etl run`."""
    from pydantic import SecretStr

    from cio_etl.load.connection import Connection, Deadlines
    from cio_etl.model import Accepted, Destination

    deadlines = Deadlines()
    closing.callback(deadlines.close)
    keys = {"site_id": SecretStr("site"), "api_key": SecretStr("key")}
    destination = Destination("track", url, keys, ca_file=str(ca))
    connection = Connection(destination, deadlines)
    closing.callback(connection.close)
    return lambda body: 200 if isinstance(connection.send(body, lambda *_: Accepted()), Accepted) else 0


def by_httpcore(url: str, ca: Path, closing: ExitStack) -> Post:
    """What our own connection is built on."""
    import httpcore

    http = closing.enter_context(httpcore.HTTPConnection(httpcore.URL(url).origin, ssl_context=context(ca)))
    address = httpcore.URL(url + PATH)
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    def post(body: bytes) -> int:
        length = (b"Content-Length", b"%d" % len(body))
        host = (b"Host", urlsplit(url).netloc.encode())
        return http.request("POST", address, headers=[host, *headers, length], content=body).status

    return post


def by_httpx(url: str, ca: Path, closing: ExitStack) -> Post:
    import httpx

    client = closing.enter_context(httpx.Client(verify=context(ca), trust_env=False, headers=HEADERS))
    return lambda body: client.post(url + PATH, content=body).status_code


def by_httpx2(url: str, ca: Path, closing: ExitStack) -> Post:
    """The kept fork of httpx."""
    import httpx2  # type: ignore[import-not-found]  # of the peers' environment

    client = closing.enter_context(httpx2.Client(verify=context(ca), trust_env=False, headers=HEADERS))
    return lambda body: client.post(url + PATH, content=body).status_code


def by_pyreqwest(url: str, ca: Path, closing: ExitStack) -> Post:
    """A client in Rust: it writes and encrypts without the interpreter's lock."""
    from pyreqwest.client import SyncClientBuilder  # type: ignore[import-not-found]  # of the peers' environment

    builder = SyncClientBuilder().add_root_certificate_pem(ca.read_bytes()).http1_only().no_proxy()
    client = closing.enter_context(builder.follow_redirects(False).default_headers(HEADERS).build())
    return lambda body: client.post(url + PATH).body_bytes(body).build().send().status


TRANSPORTS: dict[str, MakePost] = {
    OURS: ours,
    "httpcore": by_httpcore,
    "httpx": by_httpx,
    "httpx2": by_httpx2,
    "pyreqwest": by_pyreqwest,
}
IN_PEERS = ("httpx2", "pyreqwest")
BODIES = (500_000, 32_000, 1_000)


def context(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def send(name: str, url: str, ca: Path, bytes_of_body: int, requests: int) -> float:
    """CPU milliseconds a request, of connections that are open. Raises RuntimeError when an answer is not 200."""
    body = os.urandom(bytes_of_body // 2).hex().encode()
    numbers = itertools.count()
    with ExitStack() as closing:
        posts = [TRANSPORTS[name](url, ca, closing) for _ in range(LANES)]
        for post in posts:
            post(b"{}")

        def lane(post: Post) -> None:
            while next(numbers) < requests:  # one step of the interpreter
                if (status := post(body)) != 200:
                    raise RuntimeError(f"{name}: HTTP {status}")

        before = time.process_time()
        with ThreadPoolExecutor(LANES) as lanes:
            for ended in [lanes.submit(lane, post) for post in posts]:
                ended.result()
        return (time.process_time() - before) / requests * 1_000


def measured(name: str, url: str, ca: Path, bytes_of_body: int, requests: int) -> float:
    """`send` in a process of its own, of the environment that has the transport."""
    python = PEERS if name in IN_PEERS else Path(sys.executable)
    send_with = ["--send", name, url, str(ca), str(bytes_of_body), f"--requests={requests}"]
    words = [str(python), "-m", "tests.benchmarks.transports", *send_with]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return float(done.stdout)


def main(requests: int, rounds: int) -> int:
    there = [name for name in TRANSPORTS if PEERS.exists() or name not in IN_PEERS]
    print(f"CPU milliseconds a request over TLS, {LANES} lanes; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "tests.benchmarks.sink", "--tls", folder]
        sink = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert sink.stdout is not None
            url, ca = sink.stdout.readline().strip(), Path(folder) / "ca.pem"
            for size in BODIES:
                costs: dict[str, list[float]] = {name: [] for name in there}
                for _ in range(rounds):
                    for name in there:
                        costs[name].append(measured(name, url, ca, size, requests))
                of_ours = median(costs[OURS])
                for name, each in costs.items():
                    print(f"{size:>7,} bytes  {name:<10} {median(each):6.3f}  {median(each) / of_ours:5.2f} of ours")
        finally:
            sink.kill()
            sink.communicate()
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure what a request costs by each transport.")
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--send", nargs=4, metavar=("TRANSPORT", "URL", "CA", "BYTES"), help="of one process")
    options = parser.parse_args()
    if options.send:
        name, url, ca, size = options.send
        print(send(name, url, Path(ca), int(size), options.requests))
    else:
        sys.exit(main(options.requests, options.rounds))
