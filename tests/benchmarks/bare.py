"""The upper bound of speed: threads that post one pre-built body. No reading, no mapping, no checkpoint.

    python -m tests.benchmarks.bare BODY URL --rows N [--ca FILE]

This is the physical limit of httpx and the network on this machine, with as many lanes as our command has.
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


def send_all(url: str, body: bytes, requests: int, ca: Path | None) -> None:
    """Post `body` `requests` times over LANES connections. Raises httpx.HTTPError on anything but success."""
    context = ssl.create_default_context(cafile=ca)  # one for all: httpx would load every root certificate 16 times
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

    with ThreadPoolExecutor(LANES) as lanes:
        for ended in [lanes.submit(lane) for _ in range(LANES)]:
            ended.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("body", type=Path)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--ca", type=Path)
    options = parser.parse_args()
    body = options.body.read_bytes()
    items = body.count(b'"type":"person"')
    requests = math.ceil(options.rows / items)
    send_all(f"{options.url}/api/v2/batch", body, requests, options.ca)
    print(requests * items)
