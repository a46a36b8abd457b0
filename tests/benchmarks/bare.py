"""The upper bound of speed: threads that post one pre-built body. No reading, no mapping, no checkpoint.

    python -m tests.benchmarks.bare BODY URL --rows N [--ca FILE] [--lanes N] [--body-bytes N]

This is the physical limit of httpx and the network on this machine, with as many lanes as our command has. The server
reads no body, so a shorter one is the first bytes of the whole one.
"""

from __future__ import annotations

import argparse
import itertools
import math
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

LANES = 16


def send_all(url: str, body: bytes, requests: int, ca: Path | None, lanes: int = LANES) -> None:
    """Post `body` `requests` times over so many connections. Raises httpx.HTTPError on anything but success."""
    context = ssl.create_default_context(cafile=ca)  # one for all: httpx would load every root certificate for each
    numbers = itertools.count()
    lock = threading.Lock()

    def lane() -> None:
        with httpx.Client(verify=context, auth=("site-id", "api-key"), trust_env=False, timeout=30) as client:
            while True:
                with lock:
                    number = next(numbers)
                if number >= requests:
                    return
                client.post(url, content=body, headers={"content-type": "application/json"}).raise_for_status()

    with ThreadPoolExecutor(lanes) as threads:
        for ended in [threads.submit(lane) for _ in range(lanes)]:
            ended.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("body", type=Path)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--lanes", type=int, default=LANES)
    parser.add_argument("--body-bytes", type=int, help="of each body; by default all of the file's")
    options = parser.parse_args()
    body = options.body.read_bytes()[: options.body_bytes]
    items = body.count(b'"type":"person"')
    requests = math.ceil(options.rows / items)
    send_all(f"{options.url}/api/v2/batch", body, requests, options.ca, options.lanes)
    print(requests * items)
