#!/usr/bin/env python3
"""Slow clients, by slowhttptest (Debian), with healthy traffic measured beside them.

    slow.py TIDEGATE [--connections N] [--seconds S]

Slow headers (-H), slow bodies (-B) and slow reads (-X): the service must be available throughout, no healthy request
may fail, and their p99 must stay within twice its base (or 5 ms, below which it says nothing). A server of one thread
and no timeouts is attacked first and must be found: else the tool finds nothing, and nothing found means nothing.
"""

import argparse
import http.client
import http.server
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

LARGE = 1 << 20
MODES = {
    "slow headers": ["-H", "-i", "5", "-x", "24"],
    "slow bodies": ["-B", "-i", "5", "-x", "10", "-s", "8192"],
    "slow reads": ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"],
}


class One(http.server.HTTPServer):
    """Serves one connection at a time and waits for it for ever."""

    def handle_error(self, *_):
        pass


class Weak(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def weak():
    server = One(("127.0.0.1", 0), Weak)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(binary, folder, port, routes):
    config = pathlib.Path(folder, f"{port}.toml")
    config.write_text(
        '[log.access]\noutput = "off"\n'
        f'[[listeners]]\nname = "web"\nbind = ["127.0.0.1:{port}"]\nprotocol = "http"\n'
        "limits = { connections_per_client = 0, requests_per_connection = 0 }\n" + routes
    )
    return subprocess.Popen([binary, "run", "-c", config], stderr=subprocess.DEVNULL)


class Healthy:
    """Two clients that ask a hundred times a second each, on kept and on new connections."""

    def __init__(self, port):
        self.port, self.times, self.failed, self.over = port, [], [], False
        self.threads = [threading.Thread(target=self.ask, args=(fresh,)) for fresh in (False, True)]
        for thread in self.threads:
            thread.start()

    def ask(self, fresh):
        client = None
        while not self.over:
            began = time.perf_counter()
            try:
                client = client or http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                client.request("GET", "/")
                answer = client.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failed.append(answer.status)
                if fresh:
                    client.close()
                    client = None
            except OSError as error:
                self.failed.append(error)
                client = None
            self.times.append(time.perf_counter() - began)
            time.sleep(0.01)

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()
        times = sorted(self.times)
        return times[len(times) * 99 // 100] * 1e3, len(times), self.failed


def attack(mode, port, connections, seconds):
    path = "/large" if mode == "slow reads" else "/"
    command = ["slowhttptest", *MODES[mode], "-c", str(connections), "-r", str(connections // 2), "-l", str(seconds)]
    command += ["-p", "3", "-v", "1", "-u", f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)
    return [word == "YES" for word in re.findall(r"service available:\s*(YES|NO)", said)]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("--connections", type=int, default=1000)
    arguments.add_argument("--seconds", type=int, default=25)
    given = arguments.parse_args()

    found = attack("slow headers", weak(), 50, 12)
    if all(found):
        sys.exit("a server without timeouts was not found to be unavailable: the tool says nothing")
    print(f"a weak server: unavailable in {found.count(False)} of {len(found)} looks")

    port, behind, failed = free_port(), free_port(), []
    with tempfile.TemporaryDirectory() as folder:
        # What stands behind must not be what is slow: another of the same, which answers by itself.
        pathlib.Path(folder, "large").write_bytes(b"x" * LARGE)
        origin = start(
            given.binary,
            folder,
            behind,
            '[[routes]]\nname = "large"\npath = "/large"\nrespond = { status = 200, body_file = "large" }\n'
            '[[routes]]\nname = "small"\nrespond = { status = 200, body = "ok" }\n',
        )
        proxy = start(
            given.binary,
            folder,
            port,
            '[[routes]]\nname = "all"\ncluster = "app"\n'
            f'[clusters.app]\nendpoints = ["127.0.0.1:{behind}"]\n'
            "bulkhead = { connections_per_endpoint = 4096 }\n",
        )
        try:
            time.sleep(1)
            healthy = Healthy(port)
            time.sleep(8)
            base, _, lost = healthy.stop()
            failed += lost
            print(f"healthy alone: p99 {base:.2f} ms")
            for mode in MODES:
                healthy = Healthy(port)
                looks = attack(mode, port, given.connections, given.seconds)
                p99, asked, lost = healthy.stop()
                print(
                    f"{mode}, {given.connections} connections: available in {looks.count(True)} of {len(looks)} looks; "
                    f"healthy: {asked} asked, {len(lost)} failed, p99 {p99:.2f} ms ({p99 / base:.2f} of base)"
                )
                if not looks or not all(looks):
                    failed.append(f"{mode}: unavailable")
                if lost:
                    failed.append(f"{mode}: healthy requests failed: {lost[:3]}")
                if p99 > max(2 * base, 5):
                    failed.append(f"{mode}: p99 {p99:.2f} ms against {base:.2f} ms")
        finally:
            for process in (proxy, origin):
                process.terminate()
                process.wait()
    if failed:
        sys.exit("\n".join(map(str, failed)))


main()
