#!/usr/bin/env python3
"""Tidegate under TLS and HTTP/2 beside nginx and HAProxy: CPU per request and per handshake, memory per idle connection.

One worker each, pinned to core 0; load generators and origins on core 1. Rounds are interleaved. The figure is the scheduler's count of
time on a CPU over the proxy's whole process tree, divided by what the load generator got. TLS 1.3 with AES-128-GCM for all, an ECDSA
P-256 certificate, the groups that OpenSSL offers. Needs root, wrk, h2load, nghttpd, openssl, nginx, haproxy.
"""

import argparse
import dataclasses
import json
import os
import re
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import time
from pathlib import Path

import machine
from idle import CLIENTS
from l4 import Peer
from machine import BenchError
from peers import FIELDS, LOAD_CORE, ORIGIN_PORTS, ROOT, Origin, tidegate_head, wait_until

CALLED = 9341

# What every client of OpenSSL goes by here, so that all peers agree on the same.
OPENSSL = """
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
"""

NGINX = """
user root; worker_processes 1; worker_rlimit_nofile 20000; pid @DIR@/nginx.pid;
error_log @DIR@/error.log warn; daemon off;
events { worker_connections 10240; }
http {
    access_log off; keepalive_timeout 600s; keepalive_requests 1000000000;
    http2_max_concurrent_streams 128;
    client_body_temp_path @DIR@/body; proxy_temp_path @DIR@/proxy; fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi; scgi_temp_path @DIR@/scgi;
    ssl_protocols TLSv1.3; ssl_certificate @DIR@/../c.pem; ssl_certificate_key @DIR@/../c.key;
    upstream origin {
        @SERVERS@
        keepalive 256; keepalive_requests 1000000000; keepalive_timeout 600s;
    }
    upstream called { server 127.0.0.1:@CALLED@; keepalive 256; keepalive_requests 1000000000; }
    server {
        listen 127.0.0.1:@SMALL@ ssl http2 backlog=4096;
        location / {
            proxy_pass http://origin; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
    }
    server {
        listen 127.0.0.1:@BULK@ ssl http2 backlog=4096;
        location / { grpc_pass grpc://called; }
    }
}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 7000
    ssl-default-bind-options ssl-min-ver TLSv1.3
    tune.h2.max-concurrent-streams 128
defaults
    mode http
    timeout connect 3s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    option forwardfor
    http-reuse always
frontend web
    bind 127.0.0.1:@SMALL@ ssl crt @DIR@/../both.pem alpn h2,http/1.1 backlog 4096
    default_backend origin
backend origin
    balance roundrobin
    @SERVERS@
frontend calls
    bind 127.0.0.1:@BULK@ ssl crt @DIR@/../both.pem alpn h2 backlog 4096
    default_backend called
backend called
    server one 127.0.0.1:@CALLED@ proto h2
"""

TIDEGATE = tidegate_head("@ADMIN@") + """
[defaults.listener]
timeouts = { idle = "600s" }
limits = { connections_per_client = 20000, requests_per_connection = 1000000000 }

[[listeners]]
name = "web"
bind = ["127.0.0.1:@SMALL@"]
protocol = "http"
tls = { certificates = [{ certificate = "@DIR@/../c.pem", key = "@DIR@/../c.key" }] }

[[listeners]]
name = "calls"
bind = ["127.0.0.1:@BULK@"]
protocol = "http"
tls = { certificates = [{ certificate = "@DIR@/../c.pem", key = "@DIR@/../c.key" }] }

[[routes]]
name = "called"
path_prefix = "/bench.Bench/"
cluster = "called"

[[routes]]
name = "origin"
cluster = "origin"

[clusters.origin]
balancer = "round_robin"
endpoints = [@SERVERS@]
[clusters.origin.bulkhead]
idle_per_endpoint = 256
idle_timeout = "600s"

[clusters.called]
protocol = "http2"
endpoints = ["127.0.0.1:@CALLED@"]
"""


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    # Our CPU divided by that of the better of the others must not be above this.
    target: float


SCENARIOS = [
    Scenario("h1", "TLS 1.3, keep-alive HTTP/1.1, 64 connections, 128-byte answer", 0.65),
    Scenario("16k", "TLS 1.3, keep-alive HTTP/1.1, 64 connections, 16 KiB answer", 0.55),
    Scenario("handshake", "Full handshake and one request, ECDSA P-256", 0.65),
    Scenario("h2", "HTTP/2 over TLS, 8 connections of 32 streams, 128-byte answer", 0.65),
    Scenario("grpc", "Unary gRPC, HTTP/2 over TLS to HTTP/2, 8 connections of 32 streams", 0.85),
]
IDLE = {"http/1.1": 16, "h2": 20}


def h2load(port, path, environment, arguments):
    argv = ["taskset", "-c", LOAD_CORE, "h2load", "-t1", *arguments, f"https://127.0.0.1:{port}{path}"]
    run = subprocess.run(
        [str(part) for part in argv], capture_output=True, text=True, env=environment, check=False
    )
    seen = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", run.stdout)
    if not seen:
        raise BenchError(f"h2load failed: {run.stdout[-300:]} {run.stderr[-300:]}")
    answered, *lost = (int(count) for count in seen.groups())
    return answered, sum(lost)


def wrk(port, path, environment, seconds):
    argv = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", "-c64", f"-d{seconds}s"]
    for field in FIELDS:
        argv += ["-H", field]
    argv.append(f"https://127.0.0.1:{port}{path}")
    run = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    seen = re.search(r"(\d+) requests in", run.stdout)
    if not seen:
        raise BenchError(f"wrk failed: {run.stdout[-300:]} {run.stderr[-300:]}")
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", run.stdout)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", run.stdout)
    lost = int(wrong[1]) if wrong else 0
    return int(seen[1]), lost + (sum(map(int, errors.groups())) if errors else 0)


def load(peer, scenario, place, seconds):
    environment = os.environ | {"OPENSSL_CONF": str(place / "openssl.cnf")}
    many = ["-c8", "-m32", f"-D{seconds}"]
    if scenario.name == "h1":
        return wrk(peer.port, "/", environment, seconds)
    if scenario.name == "16k":
        return wrk(peer.port, "/16k", environment, seconds)
    if scenario.name == "handshake":
        count = 500 * seconds
        return h2load(peer.port, "/", environment, ["--h1", f"-n{count}", f"-c{count}"])
    if scenario.name == "h2":
        return h2load(peer.port, "/", environment, many)
    call = ["-d", place / "call", "-Hcontent-type: application/grpc", "-Hte: trailers"]
    return h2load(peer.port + 1, "/bench.Bench/Call", environment, many + call)


def sample(peer, scenario, place, seconds):
    before, began = peer.tree.cpu_ns(), time.monotonic()
    answered, lost = load(peer, scenario, place, seconds)
    cpu, wall = peer.tree.cpu_ns() - before, time.monotonic() - began
    return {
        "cpu_us": cpu / max(answered, 1) / 1000, "rate": answered / wall, "busy": cpu / 1e9 / wall,
        "lost": lost,
    }


def idle(peer, protocol, count):
    """Bytes of a fresh process for each connection that has asked once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    question = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
    if protocol == "h2":
        block = b"\x82\x84\x87\x41\x05bench"
        question = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\0\4\1\0\0\0\0"
        question += len(block).to_bytes(3, "big") + b"\1\5\0\0\0\1" + block
    held = []

    def hold(wanted):
        while len(held) < wanted:
            stream = socket.socket()
            stream.bind((f"127.0.0.{2 + len(held) % CLIENTS}", 0))
            stream.connect(("127.0.0.1", peer.port))
            stream = context.wrap_socket(stream)
            stream.sendall(question)
            answer = b""
            # The origin's small answer has the alphabet nearly five times.
            while answer.count(b"abcdefghijklmnopqrstuvwx") < 5:
                part = stream.recv(4096)
                if not part:
                    raise BenchError(f"{peer.name} closed an idle connection")
                answer += part
            held.append(stream)
        # Longer than a connection keeps what only one under load needs.
        time.sleep(3)
        return peer.tree.memory()[1]

    before = hold(200)
    return (hold(200 + count) - before) / count / 1024


def arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=2, help="length of one sample")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections; 0 leaves it out")
    parser.add_argument("--quick", action="store_true", help="three rounds of one second")
    parser.add_argument("--scenarios", help="names, with commas; default: all")
    parser.add_argument("--tidegate", type=Path, default=target / "release/tidegate")
    parser.add_argument("--origin", type=Path, default=target / "release/examples/bench-origin")
    parser.add_argument("--out", type=Path, default=target / "bench", help="raw figures go there")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 3, 1
    return chosen


def prepare(place):
    (place / "openssl.cnf").write_text(OPENSSL)
    # A message of 16 bytes, as gRPC frames it.
    (place / "call").write_bytes(b"\0\0\0\0\x10" + b"c" * 16)
    site = place / "site/bench.Bench"
    site.mkdir(parents=True)
    (site / "Call").write_bytes(b"\0\0\0\0\x10" + b"a" * 16)
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    argv += ["-keyout", "c.key", "-out", "c.pem", "-days", "30", "-subj", "/CN=bench"]
    argv += ["-addext", "subjectAltName=DNS:bench"]
    subprocess.run(argv, cwd=place, check=True, capture_output=True)
    (place / "both.pem").write_text((place / "c.pem").read_text() + (place / "c.key").read_text())


def peers(place, binary):
    def filled(template, line, between="\n    "):
        lines = between.join(line.format(port=port) for port in ORIGIN_PORTS)
        return template.replace("@SERVERS@", lines).replace("@CALLED@", str(CALLED))

    ours = filled(TIDEGATE, '"127.0.0.1:{port}"', ", ")
    haproxy = filled(HAPROXY, "server o{port} 127.0.0.1:{port} pool-max-conn 256")
    nginx = filled(NGINX, "server 127.0.0.1:{port};")
    return [
        Peer("tidegate", 9351, place, ours, [binary, "run", "-c", "@CONFIG@"]),
        Peer("haproxy", 9361, place, haproxy, ["haproxy", "-db", "-f", "@CONFIG@"]),
        Peer("nginx", 9371, place, nginx, ["nginx", "-p", place / "nginx", "-c", "@CONFIG@"]),
    ]


def compare(scenarios, every, place, chosen):
    figures = {}
    for scenario in scenarios:
        samples = figures[scenario.name] = {peer.name: [] for peer in every}
        for turn in range(chosen.rounds):
            for peer in every:
                taken = sample(peer, scenario, place, chosen.seconds)
                samples[peer.name].append(taken)
                print(
                    f"{scenario.name:>9} {turn + 1:>2}/{chosen.rounds} {peer.name:<9}"
                    f"{taken['rate']:>9.0f}/s {taken['cpu_us']:>8.2f} µs"
                    f"  busy {taken['busy']:.2f}  lost {taken['lost']}",
                    flush=True,
                )
    return figures


def report(scenarios, figures, memory):
    names = ["tidegate", "haproxy", "nginx"]
    print("\n| scenario | " + " | ".join(names) + " | by the better (at most) |")
    print("|---|" + "---|" * (len(names) + 1))
    for scenario in scenarios:
        samples = figures[scenario.name]
        medians = {n: statistics.median(it["cpu_us"] for it in samples[n]) for n in names}
        better = min(names[1:], key=medians.get)
        pairs = zip(samples["tidegate"], samples[better])
        ratio = statistics.median(ours["cpu_us"] / theirs["cpu_us"] for ours, theirs in pairs)
        cells = " | ".join(f"{medians[name]:.1f} µs" for name in names)
        print(f"| {scenario.title} | {cells} | {better} {ratio:.2f} ({scenario.target}) |")
    for protocol, sizes in memory.items():
        cells = " | ".join(f"{sizes[name]:.1f} KiB" for name in names)
        print(f"| Idle connection under TLS, {protocol} | {cells} | ({IDLE[protocol]} KiB) |")


def main():
    chosen = arguments()
    for binary in (chosen.tidegate, chosen.origin):
        if not binary.exists():
            raise BenchError(f"{binary} is not built: run make bench-tls")
    scenarios = SCENARIOS
    if chosen.scenarios is not None:
        scenarios = [it for it in SCENARIOS if it.name in chosen.scenarios.split(",")]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    place = (chosen.out / time.strftime("tls-%Y%m%d-%H%M%S")).resolve()
    place.mkdir(parents=True)
    prepare(place)
    os.sched_setaffinity(0, {LOAD_CORE})
    every = peers(place, chosen.tidegate.resolve())
    memory = {}
    with machine.cubic():
        origin = Origin(chosen.origin.resolve(), place)
        machine.prove_free(CALLED)
        argv = ["nghttpd", "--no-tls", "-d", place / "site", "--trailer", "grpc-status: 0", CALLED]
        called = machine.spawn(argv, LOAD_CORE, place, stdout=subprocess.DEVNULL)
        try:
            wait_until("nghttpd", lambda: machine.listeners(CALLED) or None)
            for peer in every:
                peer.start()
            figures = compare(scenarios, every, place, chosen)
            for protocol in IDLE if chosen.idle else ():
                for peer in every:
                    peer.stop()
                    peer.start()
                    memory.setdefault(protocol, {})[peer.name] = idle(peer, protocol, chosen.idle)
        finally:
            for peer in every:
                peer.stop()
            machine.stop(called)
            origin.stop()
    (place / "figures.json").write_text(json.dumps({"samples": figures, "memory": memory}, indent=1))
    report(scenarios, figures, memory)
    print(f"\nraw figures: {place / 'figures.json'}")
    lost = [
        f"{scenario}: {name} lost {it['lost']}"
        for scenario, samples in figures.items() for name, all in samples.items() for it in all if it["lost"]
    ]
    if lost:
        raise BenchError("not to be quoted:\n" + "\n".join(lost))


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
