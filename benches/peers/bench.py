#!/usr/bin/env python3
"""Tidegate beside nginx and HAProxy on this machine: CPU per request, and more.

One worker each, pinned to core 0; load generator and origin on core 1. Rounds are interleaved: in
each round every proxy gets one sample, so that what the machine does meanwhile meets all of them.
The figure is the scheduler's own count of time on a CPU over the proxy's whole process tree, divided
by the requests that the load generator saw answered. Needs root, wrk, nginx, haproxy, strace.
"""

import argparse
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import idle
import machine
import report
from machine import BenchError
from peers import (
    FILTERS,
    HAPROXY_FILTERS,
    LOAD_CORE,
    NGINX_FILTERS,
    NGINX_LARGE,
    NGINX_ZONE,
    PROXY_CORE,
    ROOT,
    Haproxy,
    Nginx,
    Origin,
    Tidegate,
    load,
    wrk,
)


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    peers: tuple
    path: str = "/"
    method: str = "GET"
    body: int = 0
    connections: int = 64
    connection: str = "kept"
    # Requests a second, sent when they are due whatever the proxy does; 0: as many as it takes.
    rate: int = 0
    # Our CPU per request divided by that of the best other proxy must not be above this.
    target: float | None = None


PLAIN = ("tidegate", "nginx", "haproxy")
LARGE = ("tidegate", "nginx", "nginx-large", "haproxy")
SCENARIOS = [
    Scenario("small", "Keep-alive, 128-byte answer, access log off", PLAIN, target=0.90),
    Scenario("16k", "Keep-alive, 16 KiB answer", LARGE, path="/16k", target=0.80),
    Scenario("1m", "Keep-alive, 1 MiB answer, 16 connections", LARGE, path="/1m", connections=16),
    Scenario("post", "POST 4 KiB, 128-byte answer", PLAIN, method="POST", body=4096, target=0.75),
    Scenario("new", "New client connection per request", PLAIN, connection="new", target=1.00),
    Scenario(
        "log", "Keep-alive, 128-byte answer, JSON access log to a file",
        ("tidegate-log", "nginx-log"), target=0.95,
    ),
    Scenario(
        "filters", "Keep-alive, 128-byte answer, five filters (address, rate, fields both ways, path)",
        ("tidegate-filters", "nginx-filters", "haproxy-filters"), path="/shop/",
    ),
]
# Scenarios whose system calls are counted too.
COUNTED = ("small", "post", "new")


def sample(peer, scenario, origin, seconds):
    """One measured run of one proxy."""
    if peer.log.exists():
        os.truncate(peer.log, 0)
    counts, cpu, ticks = origin.settled(), peer.tree.cpu_ns(), peer.tree.ticks()
    ours, theirs = machine.core_times(PROXY_CORE), machine.core_times(LOAD_CORE)
    began = time.monotonic()
    seen = load(peer.port, scenario, seconds)
    wall = time.monotonic() - began
    ours_after, theirs_after = machine.core_times(PROXY_CORE), machine.core_times(LOAD_CORE)
    cpu, ticks_after = peer.tree.cpu_ns() - cpu, peer.tree.ticks()
    answered = origin.settled() - counts
    if not peer.alive():
        raise BenchError(f"{peer.name} ended during {scenario.name}; see {peer.directory}")

    faults = [
        f"{seen[kind]} {kind} errors"
        for kind in ("connect", "read", "write", "status", "timeout") if seen[kind]
    ]
    # Requests that were under way when the load generator stopped reached the origin uncounted.
    if not 0 <= answered - seen["requests"] <= scenario.connections:
        faults.append(f"origin answered {answered}, load generator counted {seen['requests']}")
    if peer.logged() and (lines := peer.log_lines(seen["requests"])) < seen["requests"]:
        faults.append(f"{seen['requests']} requests, {lines} lines in the access log")

    requests = max(seen["requests"], 1)
    user, system = (after - before for before, after in zip(ticks, ticks_after))
    share = user / max(user + system, 1)
    micros = cpu / requests / 1000
    return {
        "requests": seen["requests"],
        "rate": seen["requests"] / (seen["duration_us"] / 1e6),
        "cpu_us": micros,
        "user_us": micros * share,
        "system_us": micros * (1 - share),
        "busy": cpu / 1e9 / wall,
        "load_busy": 1 - (theirs_after[1] - theirs[1]) / max(theirs_after[0] - theirs[0], 1),
        "steal": (ours_after[2] - ours[2]) / max(ours_after[0] - ours[0], 1),
        "p50_us": seen["p50_us"],
        "p99_us": seen["p99_us"],
        "faults": faults,
    }


def compare(scenarios, proxies, origin, rounds, seconds):
    """Interleaved rounds of every scenario: {scenario: {proxy: [sample, …]}}."""
    results = {}
    for scenario in scenarios:
        samples = results[scenario.name] = {name: [] for name in scenario.peers if name in proxies}
        for name in samples:
            load(proxies[name].port, scenario, 1)
        for turn in range(rounds):
            for name in samples:
                taken = sample(proxies[name], scenario, origin, seconds)
                samples[name].append(taken)
                fault = f"  !! {'; '.join(taken['faults'])}" if taken["faults"] else ""
                print(
                    f"{scenario.name:>6} {turn + 1:>2}/{rounds} {name:<13}"
                    f"{taken['rate']:>8.0f} req/s {taken['cpu_us']:>7.1f} µs"
                    f"  busy {taken['busy']:.2f}/{taken['load_busy']:.2f}{fault}",
                    flush=True,
                )
    return results


def system_calls(peer, scenario, directory):
    """System calls per request by name, counted by strace in a run of its own."""
    output = directory / f"strace-{peer.name}"
    argv = ["strace", "-f", "-c", "-U", "name,calls", "-o", str(output)]
    for pid in peer.tree.pids():
        argv += ["-p", str(pid)]
    tracer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        tracer.stderr.readline()  # "Process … attached"
        seen = wrk(peer.port, scenario, 2)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)
    calls = {}
    for line in output.read_text().splitlines():
        parts = line.split()
        if len(parts) == 2 and parts[1].isdigit() and parts[0] != "total":
            calls[parts[0]] = int(parts[1]) / max(seen["requests"], 1)
    return {"requests": seen["requests"], "calls": calls}


def make_proxies(directory, binary):
    every = [
        Nginx("nginx", 9111, directory),
        Nginx("nginx-large", 9112, directory, buffers=NGINX_LARGE),
        Nginx("nginx-log", 9113, directory, access_log=True),
        Haproxy("haproxy", 9114, directory),
        Nginx("nginx-filters", 9117, directory, zone=NGINX_ZONE, filters=NGINX_FILTERS),
        Haproxy("haproxy-filters", 9118, directory, filters=HAPROXY_FILTERS),
    ]
    if binary:
        every += [
            Tidegate("tidegate", 9115, directory, binary),
            Tidegate("tidegate-log", 9116, directory, binary, access_log=True),
            Tidegate("tidegate-filters", 9119, directory, binary, routes=FILTERS),
        ]
    return {peer.name: peer for peer in every}


def arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=2, help="length of one sample")
    parser.add_argument("--idle", type=int, default=5000, help="idle connections; 0 leaves it out")
    parser.add_argument("--quick", action="store_true", help="three rounds of one second")
    parser.add_argument("--scenarios", help="names, with commas; default: all")
    parser.add_argument("--peers-only", action="store_true", help="leave Tidegate out")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--tidegate", type=Path, default=target / "release/tidegate")
    parser.add_argument("--origin", type=Path, default=target / "release/examples/bench-origin")
    parser.add_argument("--out", type=Path, default=target / "bench", help="raw figures go there")
    parser.add_argument("--rate", type=int, metavar="N", help="only N requests a second, by oha")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.idle = 3, 1, min(chosen.idle, 2000)
    return chosen


def main():
    chosen = arguments()
    scenarios = SCENARIOS
    if chosen.rate:
        title = f"{chosen.rate} requests a second, latency from when each was due (oha)"
        scenarios = [Scenario("rate", title, PLAIN, rate=chosen.rate)]
    elif chosen.scenarios is not None:
        names = [name for name in chosen.scenarios.split(",") if name]
        if unknown := set(names) - {scenario.name for scenario in SCENARIOS}:
            raise BenchError(f"no scenario {', '.join(sorted(unknown))}")
        scenarios = [scenario for scenario in SCENARIOS if scenario.name in names]
    for binary in [chosen.origin] + ([] if chosen.peers_only else [chosen.tidegate]):
        if not binary.exists():
            raise BenchError(f"{binary} is not built: run make bench")

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, {LOAD_CORE})
    directory = (chosen.out / time.strftime("%Y%m%d-%H%M%S")).resolve()
    directory.mkdir(parents=True)
    proxies = make_proxies(directory, None if chosen.peers_only else chosen.tidegate.resolve())

    with machine.cubic() as congestion:
        figures = {
            "machine": machine.facts() | {"congestion_before": congestion},
            "versions": {n: p.version() for n, p in proxies.items() if n in PLAIN},
            "rounds": chosen.rounds,
            "seconds": chosen.seconds,
            "date": time.strftime("%Y-%m-%d"),
        }
        origin = Origin(chosen.origin.resolve(), directory)
        try:
            wanted = {name for scenario in scenarios for name in scenario.peers}
            for name, peer in proxies.items():
                if name in wanted:
                    peer.start()
            figures["samples"] = compare(
                scenarios, proxies, origin, chosen.rounds, chosen.seconds
            )
            figures["calls"], figures["memory"] = {}, {}
            for name, peer in proxies.items():
                if name in PLAIN and peer.alive():
                    figures["memory"][name] = peer.tree.memory()
                    figures["calls"][name] = {
                        scenario.name: system_calls(peer, scenario, directory)
                        for scenario in scenarios if scenario.name in COUNTED
                    }
            for peer in proxies.values():
                peer.stop()
            if chosen.idle:
                figures["idle"] = {
                    name: idle.measure(peer, chosen.idle)
                    for name, peer in proxies.items() if name in PLAIN
                }
        finally:
            for peer in proxies.values():
                peer.stop()
            origin.stop()

    (directory / "figures.json").write_text(json.dumps(figures, indent=1))
    text = report.render(figures, scenarios)
    print(text)
    print(f"raw figures: {directory / 'figures.json'}")
    if chosen.write:
        chosen.write.write_text(text)
    faults = report.faults(figures)
    if faults:
        raise BenchError("not to be quoted:\n" + "\n".join(faults))


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
