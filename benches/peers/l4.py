#!/usr/bin/env python3
"""Tidegate beside HAProxy (tcp) and nginx (stream): CPU per round trip of byte streams and datagrams, memory of idle tunnels.

One worker each, pinned to core 0; load generator and server on core 1. Rounds are interleaved. The figure is the scheduler's count of
time on a CPU over the proxy's whole process tree, divided by the answers that the load generator got. Needs root, nginx with its
stream module, haproxy.
"""

import argparse
import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import machine
import report
from idle import CLIENTS, alive
from machine import BenchError, Tree
from peers import LOAD_CORE, PROXY_CORE, ROOT, tidegate_head, wait_until

SERVER = {"small": 9301, "bulk": 9302}
# The most that a tunnel without traffic may take of ours.
IDLE_BYTES = 2048
NOTES = """\
# Benchmarks of layer 4

Written by `make bench-l4` (`benches/peers/l4.py`); do not edit by hand. Compare only inside one table: another machine, or the same on
another day, gives other figures. The method is that of [benchmarks.md](benchmarks.md): one worker each on core 0, load generator and server on
core 1, rounds in turn, CPU of the whole process tree by the scheduler's count, divided by the answers that came. The ratio is Tidegate's CPU over
the other's in the same round, median [quartiles]; a bar that lies inside the quartiles counts as met.
"""
SIZES = {"small": 128, "bulk": 1 << 20}

NGINX = """
user root; worker_processes 1; worker_rlimit_nofile 20000; pid @DIR@/nginx.pid;
error_log @DIR@/error.log warn; daemon off;
@MODULE@
events { worker_connections 16384; }
stream {
    proxy_timeout 600s;
    server { listen 127.0.0.1:@SMALL@ backlog=4096; proxy_pass 127.0.0.1:9301; tcp_nodelay on; }
    server { listen 127.0.0.1:@BULK@ backlog=4096; proxy_pass 127.0.0.1:9302; tcp_nodelay on; }
    server { listen 127.0.0.1:@SMALL@ udp; proxy_pass 127.0.0.1:9301; }
}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 7200
defaults
    mode tcp
    timeout connect 3s
    timeout client 600s
    timeout server 600s
    option splice-auto
listen small
    bind 127.0.0.1:@SMALL@ backlog 4096
    server one 127.0.0.1:9301
listen bulk
    bind 127.0.0.1:@BULK@ backlog 4096
    server one 127.0.0.1:9302
"""

TIDEGATE = tidegate_head("@ADMIN@") + """
[[listeners]]
name = "small"
bind = ["127.0.0.1:@SMALL@"]
protocol = "tcp"
cluster = "small"

[[listeners]]
name = "bulk"
bind = ["127.0.0.1:@BULK@"]
protocol = "tcp"
cluster = "bulk"

[[listeners]]
name = "datagrams"
bind = ["127.0.0.1:@SMALL@"]
protocol = "udp"
cluster = "small"

[clusters]
small = { endpoints = ["127.0.0.1:9301"], bulkhead = { connections_per_endpoint = 10000 } }
bulk = { endpoints = ["127.0.0.1:9302"] }
"""


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    kind: str
    server: str
    count: int
    peers: tuple
    # Our CPU per answer divided by that of each of these must not be above it.
    targets: dict


ALL = ("tidegate", "haproxy", "nginx")
SCENARIOS = [
    Scenario("tcp", "TCP, 128 bytes each way, 64 connections", "tcp", "small", 64, ALL,
             {"haproxy": 1.0, "nginx": 1.0}),
    Scenario("bulk", "TCP, answers of 1 MiB, 16 connections", "tcp", "bulk", 16, ALL,
             {"haproxy": 0.95, "nginx": 0.45}),
    Scenario("udp", "UDP, 128 bytes each way, 64 flows", "udp", "small", 64,
             ("tidegate", "nginx"), {"nginx": round(1 / 1.3, 2)}),
]


class Peer:
    """One proxy: `small` on its port for both transports, `bulk` on the next."""

    def __init__(self, name, port, directory, template, command):
        self.name, self.port, self.directory = name, port, directory / name
        self.template, self.command, self.process = template, command, None

    def start(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        for port in (self.port, self.port + 1, self.port + 2):
            machine.prove_free(port)
        module = next(Path("/usr/lib/nginx/modules").glob("ngx_stream_module.so"), None)
        values = {
            "DIR": self.directory, "SMALL": self.port, "BULK": self.port + 1,
            "ADMIN": self.port + 2, "MODULE": f"load_module {module};" if module else "",
        }
        text = self.template
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        config = self.directory / ("config.toml" if self.name == "tidegate" else "config")
        config.write_text(text)
        output = (self.directory / "output.log").open("w")
        command = [str(part).replace("@CONFIG@", str(config)) for part in self.command]
        self.process = machine.spawn(
            command, PROXY_CORE, self.directory, stdout=output, stderr=output
        )
        wait_until(self.name, lambda: machine.listeners(self.port + 1) or None)
        self.tree = Tree(self.process.pid)
        if not self.tree.owns(machine.listeners(self.port)):
            raise BenchError(f"another process listens on {self.port} beside {self.name}")

    def stop(self):
        if self.process:
            machine.stop(self.process)
            self.process = None


def load(tool, peer, scenario, seconds):
    port = peer.port + (scenario.server == "bulk")
    argv = ["taskset", "-c", LOAD_CORE, tool, scenario.kind, port, scenario.count]
    argv += [SIZES[scenario.server]] if scenario.kind == "tcp" else []
    run = subprocess.run(
        [str(part) for part in [*argv, seconds]], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise BenchError(f"{scenario.name} through {peer.name}: {run.stderr[-300:]}")
    return json.loads(run.stdout)


def sample(tool, peer, scenario, seconds):
    before, began = peer.tree.cpu_ns(), time.monotonic()
    seen = load(tool, peer, scenario, seconds)
    cpu, wall = peer.tree.cpu_ns() - before, time.monotonic() - began
    answered = max(seen["answered"], 1)
    return {
        "cpu_us": cpu / answered / 1000, "rate": answered / wall, "busy": cpu / 1e9 / wall,
        "lost": seen["lost"],
    }


def hold(port, listener, count):
    """Opens tunnels one after another, 128 bytes each way through each; both their ends."""
    held = []
    listener.settimeout(5)
    for number in range(count):
        client = socket.socket()
        client.settimeout(5)
        client.bind((f"127.0.0.{2 + number % CLIENTS}", 0))
        client.connect(("127.0.0.1", port))
        client.sendall(b"q" * 128)
        server, _ = listener.accept()
        server.sendall(server.recv(128))
        if len(client.recv(128)) != 128:
            raise BenchError(f"tunnel {number} on port {port} is no tunnel")
        held += [client, server]
    return held


def idle(peer, count):
    """Proportional memory that each of so many tunnels takes of a fresh process while nothing goes over it."""
    with socket.create_server(("127.0.0.1", SERVER["small"]), backlog=4096) as listener:
        peer.start()
        try:
            for end in hold(peer.port, listener, 200):
                end.close()
            time.sleep(1)
            before = peer.tree.memory()[1]
            held = hold(peer.port, listener, count)
            time.sleep(1)
            each = (peer.tree.memory()[1] - before) / count
            still = alive(held)
            for end in held:
                end.close()
            if still != 2 * count:
                raise BenchError(f"{peer.name} kept {still} of {2 * count} ends open")
            return each
        finally:
            peer.stop()


def verdict(ratio, most):
    low, middle, high = ratio
    word = "met" if min(low, middle) <= most else "**missed**"
    return f"{middle:.2f} [{low:.2f}–{high:.2f}], bar {most:.2f}: {word}"


def page(figures, chosen):
    """What stands in docs/benchmarks-l4.md."""
    facts = machine.facts()
    lines = [
        NOTES,
        f"{facts['cpu']}, {facts['cores']} cores{' (virtual)' if facts['virtual'] else ''},"
        f" {facts['memory_gib']} GiB, Linux {facts['kernel']} {facts['machine']};"
        f" {time.strftime('%Y-%m-%d')}; {chosen.rounds} rounds of {chosen.seconds} s.",
        "",
        "| scenario | Tidegate | HAProxy | nginx | Tidegate ÷ HAProxy | Tidegate ÷ nginx |",
        "|---|--:|--:|--:|---|---|",
    ]
    for scenario in SCENARIOS:
        samples = figures[scenario.name]
        cells = [
            f"{report.median(samples[name], 'cpu_us'):.2f} µs" if name in samples else ""
            for name in ALL
        ]
        for name in ALL[1:]:
            most = scenario.targets.get(name)
            cells.append(
                verdict(report.ratios(samples, "tidegate", name), most) if most else ""
            )
        lines.append(f"| {scenario.title} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "µs of CPU for each answer. HAProxy has no generic UDP, and uses `splice-auto`.",
    ]
    if figures["idle"]:
        each = figures["idle"]
        word = "met" if each["tidegate"] <= IDLE_BYTES else "**missed**"
        sizes = ", ".join(f"{name} {size:.0f}" for name, size in each.items())
        lines += [
            "",
            f"Bytes for each of {chosen.idle} idle tunnels: {sizes}. Bar: {IDLE_BYTES}: {word}.",
        ]
    return "\n".join(lines) + "\n"


def arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=2, help="length of one sample")
    parser.add_argument("--idle", type=int, default=7000, help="idle tunnels; 0: none")
    parser.add_argument("--write", type=Path, help="where the page goes")
    parser.add_argument("--quick", action="store_true", help="three rounds of one second")
    parser.add_argument("--tidegate", type=Path, default=target / "release/tidegate")
    parser.add_argument("--tool", type=Path, default=target / "release/examples/bench-streams")
    parser.add_argument("--out", type=Path, default=target / "bench", help="raw figures go there")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 3, 1
    return chosen


def main():
    chosen = arguments()
    for binary in (chosen.tidegate, chosen.tool):
        if not binary.exists():
            raise BenchError(f"{binary} is not built: run make bench-l4")
    tool, binary = chosen.tool.resolve(), chosen.tidegate.resolve()
    os.sched_setaffinity(0, {LOAD_CORE})
    directory = (chosen.out / time.strftime("l4-%Y%m%d-%H%M%S")).resolve()
    directory.mkdir(parents=True)
    peers = [
        Peer("tidegate", 9311, directory, TIDEGATE, [binary, "run", "-c", "@CONFIG@"]),
        Peer("haproxy", 9321, directory, HAPROXY, ["haproxy", "-db", "-f", "@CONFIG@"]),
        Peer("nginx", 9331, directory, NGINX, ["nginx", "-p", directory / "nginx", "-c", "@CONFIG@"]),
    ]
    servers, figures = [], {}
    with machine.cubic():
        try:
            for name, port in SERVER.items():
                machine.prove_free(port)
                argv = [tool, "serve", port, SIZES[name]]
                servers.append(machine.spawn(argv, LOAD_CORE, directory))
                wait_until(name, lambda port=port: machine.listeners(port) or None)
            for peer in peers:
                peer.start()
            for scenario in SCENARIOS:
                samples = figures[scenario.name] = {name: [] for name in scenario.peers}
                chosen_peers = [peer for peer in peers if peer.name in scenario.peers]
                for turn in range(chosen.rounds):
                    for peer in chosen_peers:
                        taken = sample(tool, peer, scenario, chosen.seconds)
                        samples[peer.name].append(taken)
                        print(
                            f"{scenario.name:>5} {turn + 1:>2}/{chosen.rounds} {peer.name:<9}"
                            f"{taken['rate']:>9.0f}/s {taken['cpu_us']:>8.2f} µs"
                            f"  busy {taken['busy']:.2f}  lost {taken['lost']}",
                            flush=True,
                        )
            for peer in peers:
                peer.stop()
            while servers:
                machine.stop(servers.pop())
            figures["idle"] = {peer.name: idle(peer, chosen.idle) for peer in peers if chosen.idle}
        finally:
            for peer in peers:
                peer.stop()
            for server in servers:
                machine.stop(server)
    (directory / "figures.json").write_text(json.dumps(figures, indent=1))
    text = page(figures, chosen)
    print(text)
    print(f"raw figures: {directory / 'figures.json'}")
    if chosen.write:
        chosen.write.write_text(text)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
