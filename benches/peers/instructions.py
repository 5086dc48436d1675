#!/usr/bin/env python3
"""Instructions of one request through Tidegate, counted by callgrind: steady where times are not.

A warm proxy with one worker answers a fixed number of requests of one kind; what its own code ran
meanwhile is divided by them. The kernel's share is not in it. The figures are compared with those
in instructions.json; one that grew by more than the bar fails.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
from machine import BenchError
from peers import FIELDS, FILTERS, HERE, ROOT, ROUTE, Origin, Tidegate

BASELINE = HERE / "instructions.json"
BAR = 1.05
CONNECTIONS = 32
WARM = 640
COUNTED = 3200
HEAD = "\r\n".join(["Host: shop.example.com", *FIELDS, "", ""])
KINDS = {
    "get": ("Keep-alive GET, 128-byte answer", f"GET / HTTP/1.1\r\n{HEAD}", ""),
    "post": (
        "POST 4 KiB, 128-byte answer",
        f"POST / HTTP/1.1\r\nContent-Length: 4096\r\n{HEAD}" + "x" * 4096,
        "",
    ),
    "16k": ("Keep-alive GET, 16 KiB answer", f"GET /16k HTTP/1.1\r\n{HEAD}", ""),
    "route": (
        "Keep-alive GET, 128-byte answer, a route by its path",
        f"GET /shop/ HTTP/1.1\r\n{HEAD}",
        ROUTE,
    ),
    "filters": (
        "The same, five filters",
        f"GET /shop/ HTTP/1.1\r\n{HEAD}",
        FILTERS,
    ),
}


class Counted(Tidegate):
    """Tidegate under callgrind, which counts only while it is told to."""

    def command(self):
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=cg"]
        return tool + super().command()

    def control(self, *words):
        argv = ["callgrind_control", *words, str(self.process.pid)]
        subprocess.run(argv, check=True, capture_output=True)

    def total(self):
        """Instructions in the newest dump."""
        self.control("--dump=x")
        dumps = sorted(self.directory.glob("cg.*"), key=lambda path: path.stat().st_mtime)
        found = re.findall(r"^(?:summary|totals): (\d+)", dumps[-1].read_text(), re.MULTILINE)
        if not found:
            raise BenchError("callgrind wrote no total")
        return int(found[-1])


def answer(stream):
    """Reads one answer with a Content-Length."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        part = stream.recv(65536)
        if not part:
            raise BenchError("the proxy closed a connection")
        seen += part
    head, _, body = seen.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"answered {head[:60]!r}")
    left = int(re.search(rb"(?i)content-length: *(\d+)", head)[1]) - len(body)
    while left > 0:
        left -= len(stream.recv(65536))


def ask(streams, request, count):
    for _ in range(count // len(streams)):
        for stream in streams:
            stream.sendall(request)
        for stream in streams:
            answer(stream)


def measure(binary, origin, directory):
    figures = {}
    for number, (kind, (_, request, routes)) in enumerate(KINDS.items()):
        proxy = Counted(f"count-{kind}", 9131 + number, directory, binary, routes=routes)
        proxy.start()
        try:
            streams = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(CONNECTIONS)]
            ask(streams, request.encode(), WARM)
            proxy.control("--instr=on")
            ask(streams, request.encode(), COUNTED)
            proxy.control("--instr=off")
            figures[kind] = round(proxy.total() / COUNTED)
            for stream in streams:
                stream.close()
        finally:
            proxy.stop()
    origin.settled()
    return figures


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="make these figures the baseline")
    parser.add_argument("--tidegate", type=Path, default=target / "release/tidegate")
    parser.add_argument("--origin", type=Path, default=target / "release/examples/bench-origin")
    chosen = parser.parse_args()
    before = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    with tempfile.TemporaryDirectory() as directory:
        origin = Origin(chosen.origin.resolve(), Path(directory))
        try:
            now = measure(chosen.tidegate.resolve(), origin, Path(directory))
        finally:
            origin.stop()
    grown = []
    print("| request | instructions | baseline | ratio |\n|---|--:|--:|--:|")
    for kind, (title, *_) in KINDS.items():
        base = before.get(kind)
        ratio = f"{now[kind] / base:.3f}" if base else ""
        print(f"| {title} | {now[kind]} | {base or ''} | {ratio} |")
        if base and now[kind] > base * BAR:
            grown.append(kind)
    cost = now["filters"] - now["route"]
    print(f"\nFive filters cost {cost} instructions, {cost / now['route']:+.1%}.")
    if chosen.write:
        BASELINE.write_text(json.dumps(now, indent=1) + "\n")
    elif grown:
        sys.exit(f"more than {BAR} times the baseline: {', '.join(grown)}")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"instructions: {error}")
