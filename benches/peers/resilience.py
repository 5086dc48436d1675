#!/usr/bin/env python3
"""What hardship of endpoints costs clients, with Tidegate, nginx and HAProxy in turn.

Real processes: the proxy on core 0, endpoints (ailing.py) and clients (openloop.py) on core 1. Clients ask at a fixed
rate whatever becomes of their requests, so that waiting is seen. One proxy at a time; `--write` makes the page
docs/resilience.md.
"""

import argparse
import itertools
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import machine
import openloop
from openloop import Load, quantile
from peers import LOAD_CORE, ROOT, Haproxy, Nginx, Peer, Tidegate, tidegate_head, wait_until

HERE = Path(__file__).resolve().parent
CONTROL, FIRST, WEB = 9200, 9201, 9180


class Ailing:
    """A process of endpoints, and the line to it."""

    def __init__(self, count, control=CONTROL, first=FIRST):
        self.ports = range(first, first + count)
        for port in (control, *self.ports):
            machine.prove_free(port)
        argv = [sys.executable, HERE / "ailing.py", control, first, count]
        self.process = machine.spawn(argv, LOAD_CORE, HERE)
        self.line = wait_until("the endpoints", lambda: socket.create_connection(("127.0.0.1", control)))
        self.lines = self.line.makefile("rb")

    def tell(self, order):
        """Changes ports; what each has counted."""
        self.line.sendall(json.dumps(order).encode() + b"\n")
        return {int(port): told for port, told in json.loads(self.lines.readline()).items()}

    def all(self, **values):
        return self.tell({str(port): values for port in self.ports})

    def stop(self):
        self.line.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        machine.stop(self.process)


class Written(Peer):
    """A proxy whose configuration is text of this page."""

    def __init__(self, name, argv, text, directory):
        super().__init__(name, WEB, directory)
        self.argv, self.text = argv, text

    def command(self):
        path = self.directory / "proxy.conf"
        path.write_text(self.text.replace("@DIR@", str(self.directory)))
        return [part if part != "@FILE@" else path for part in self.argv]

    def answers(self):
        with socket.create_connection(("127.0.0.1", self.port), 5):
            return True


def tidegate(binary, clusters, title="Tidegate"):
    """`clusters`: name → (ports, keys); the first is reached by every path but /other."""
    text = tidegate_head(WEB + 100) + f"""
[[listeners]]
name = "web"
bind = ["127.0.0.1:{WEB}"]
protocol = "http"
limits = {{ connections_per_client = 20000 }}
"""
    for (name, _), path in zip(clusters.items(), ("/", "/other")):
        text += f'[[routes]]\nname = "{name}"\npath_prefix = "{path}"\ncluster = "{name}"\n'
    for name, (ports, keys) in clusters.items():
        listed = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        text += f"[clusters.{name}]\nendpoints = [{listed}]\n{keys}\n"
    return title, [binary, "run", "-c", "@FILE@"], text


def haproxy(backends, title="HAProxy"):
    """`backends`: name → (ports, lines, what stands behind each server)."""
    text = f"""
global
    nbthread 1
    maxconn 7000
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend web
    bind 127.0.0.1:{WEB} backlog 4096
    use_backend other if {{ path_beg /other }}
    default_backend app
"""
    backends.setdefault("other", backends["app"])
    for name, (ports, lines, behind) in backends.items():
        text += f"backend {name}\n" + "".join(f"    {line}\n" for line in lines)
        text += "".join(f"    server s{port} 127.0.0.1:{port} {behind}\n" for port in ports)
    return title, ["haproxy", "-db", "-f", "@FILE@"], text


def nginx(upstreams, lines="", title="nginx"):
    """`upstreams`: name → (ports, what stands first, what stands behind each server)."""
    upstreams.setdefault("other", upstreams["app"])
    text = """
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log crit;
daemon off;
events { worker_connections 10240; }
http {
access_log off;
keepalive_requests 1000000000;
proxy_http_version 1.1;
proxy_set_header Connection "";
"""
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        text += f"{kind}_temp_path @DIR@/{kind};\n"
    for name, (ports, first, behind) in upstreams.items():
        text += f"upstream {name} {{\n{first}\n"
        text += "".join(f"server 127.0.0.1:{port} {behind};\n" for port in ports) + "keepalive 256;\n}\n"
    text += f"server {{\nlisten 127.0.0.1:{WEB} backlog=4096;\n{lines}\n"
    text += "location / { proxy_pass http://app; }\nlocation /other { proxy_pass http://other; }\n}\n}\n"
    return title, ["nginx", "-p", "@DIR@", "-c", "@FILE@"], text


def share_good(seen):
    return sum(one.status == 200 for one in seen) / max(1, len(seen))


def lost(seen):
    return sum(one.status != 200 for one in seen)


def times(seen):
    return [one.took for one in seen]


def within(seen, first, last):
    return [one for one in seen if first <= one.due < last]


def settle(rate=100, seconds=1.5):
    """Connections are there, and averages of everybody."""
    openloop.run(Load(WEB, rate, seconds))


class Slow:
    """One of twenty takes ten times as long as the others."""

    title = "One of twenty endpoints is ten times slower (10 ms → 100 ms), 400 requests a second"
    columns = ("proxy", "share of its fair share", "p50 ms", "p99 ms", "p99 without it ms")
    bar = (
        "Bar (least_time): at most 10 % of its fair share from the second second on, p99 within 1.3 × of the same"
        " without it."
    )

    def proxies(self, binary, ports):
        named = [("least_time", ""), ("least_request", " (default)"), ("round_robin", "")]
        for balancer, more in named:
            keys = f'balancer = "{balancer}"\noutlier = {{ max_ejected = 0 }}'
            yield tidegate(binary, {"app": (ports, keys)}, f"Tidegate {balancer}{more}")
        for balancer in ("leastconn", "random(2)", "roundrobin"):
            yield haproxy({"app": (ports, [f"balance {balancer}"], "")}, f"HAProxy {balancer}")
        for first, name in (("least_conn;", "least_conn"), ("random two least_conn;", "random two"), ("", "in turn")):
            yield nginx({"app": (ports, first, "max_fails=0")}, title=f"nginx {name}")

    endpoints = 20

    def run(self, start, ailing, _options):
        first = ailing.ports[0]
        ailing.all(delay=0.01)
        with start(ailing.ports[1:]):
            settle(400)
            base = openloop.run(Load(WEB, 400, 4))[0]
        ailing.tell({str(first): {"delay": 0.1}})
        with start(ailing.ports):
            openloop.run(Load(WEB, 400, 2))
            ailing.tell({"reset": True})
            seen = openloop.run(Load(WEB, 400, 6))[0]
        told = ailing.tell({})
        fair = sum(port["requests"] for port in told.values()) / len(told)
        return (
            f"{100 * told[first]['requests'] / fair:.0f} %",
            f"{quantile(times(seen), 0.5):.1f}",
            f"{quantile(times(seen), 0.99):.1f}",
            f"{quantile(times(base), 0.99):.1f}",
        )


class Failing:
    """One of twenty answers every other request with 503."""

    title = "One of twenty endpoints answers half of its requests with 503, 400 requests a second for 10 s"
    columns = ("proxy", "errors seen by clients", "last request to it after s", "requests to it")
    bar = "Bar: ejected within 5 s. Each proxy may try once more elsewhere."
    endpoints = 20

    def proxies(self, binary, ports):
        keys = 'outlier = { failure_rate = { threshold = 0.3, window = "5s", min_requests = 10 } }\n'
        keys += 'retry = { on = ["connect", "reset", 503] }'
        yield tidegate(binary, {"app": (ports, keys)})
        lines = ["balance roundrobin", "retries 1", "retry-on conn-failure 503", "option redispatch 1"]
        behind = "check inter 10s fastinter 10s observe layer7 error-limit 5 on-error mark-down"
        yield haproxy({"app": (ports, lines, behind)})
        lines = "proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 2;"
        yield nginx({"app": (ports, "", "max_fails=5 fail_timeout=10s")}, lines)

    def run(self, start, ailing, _options):
        first = ailing.ports[0]
        ailing.all(delay=0.005)
        with start(ailing.ports):
            settle(400)
            ailing.tell({str(first): {"fail": 0.5}, "reset": True})
            # The clock that endpoints and clients share.
            began = time.monotonic()
            seen = openloop.run(Load(WEB, 400, 10))[0]
            told = ailing.tell({str(first): {"fail": 0.0}})[first]
        return (str(lost(seen)), f"{told['last'] - began:.1f}", str(told["requests"]))


class Hanging:
    """F-02: one of three stops and goes on (SIGSTOP, SIGCONT)."""

    title = "F-02: one of three endpoints hangs for 6 s (SIGSTOP), 200 requests a second, 300 ms for a try"
    columns = (
        "proxy", "lost", "p99 ms meanwhile", "slowest ms", "over 100 ms", "other cluster's p99 ms, before and meanwhile",
        "asked again after s",
    )
    bar = (
        "Bar: answered by another within the limit of a try + 100 ms; the other cluster within 1.2 ×; the endpoint has"
        " its turns again within 5 s."
    )
    endpoints = 2

    def proxies(self, binary, ports):
        every = (*ports, 9301)
        keys = 'outlier = { ejection = "1s", consecutive_failures = 5 }\n[clusters.app.retry]\n'
        keys += 'on = ["connect", "reset", "response_timeout"]\nper_try_timeout = "300ms"\n'
        keys += '[clusters.app.health]\ncheck = { http = { path = "/" } }\ninterval = "500ms"\ntimeout = "300ms"\nfall = 2\n'
        yield tidegate(binary, {"app": (every, keys), "other": (ports, "")})
        lines = [
            "balance roundrobin", "timeout server 300ms", "retries 2", "option redispatch 1",
            "retry-on conn-failure response-timeout", "option httpchk GET /",
        ]
        behind = "check inter 500ms fall 2"
        yield haproxy({"app": (every, lines, behind), "other": (ports, ["balance roundrobin"], "")})
        lines = "proxy_next_upstream error timeout; proxy_read_timeout 300ms; proxy_next_upstream_tries 3;"
        yield nginx(
            {"app": (every, "", "max_fails=5 fail_timeout=1s"), "other": (ports, "", "")}, lines
        )

    def run(self, start, ailing, _options):
        ailing.all(delay=0.005)
        hung = Ailing(1, 9300, 9301)
        hung.all(delay=0.005)
        resumed = []

        def resume():
            hung.process.send_signal(signal.SIGCONT)
            hung.tell({"reset": True})
            resumed.append(time.monotonic())

        try:
            with start(ailing.ports):
                settle(200)
                steps = [(2, lambda: hung.process.send_signal(signal.SIGSTOP)), (8, resume)]
                seen, other = openloop.run(
                    Load(WEB, 200, 14, at=steps), Load(WEB, 100, 14, path="/other")
                )
                after = [one.due for one in within(seen, 8, 14) if one.port == hung.ports[0]]
        finally:
            hung.stop()
        meanwhile = times(within(seen, 2, 8))
        return (
            str(lost(seen)),
            f"{quantile(meanwhile, 0.99):.0f}",
            f"{quantile(meanwhile, 1):.0f}",
            str(sum(took > 0.1 for took in meanwhile)),
            f"{quantile(times(within(other, 0, 2)), 0.99):.1f}, {quantile(times(within(other, 2, 8)), 0.99):.1f}",
            f"{after[0] - 8:.1f}" if after else "never",
        )


class Herd:
    """F-31: both endpoints come back under load."""

    title = (
        "F-31: two endpoints of 8 × 20 ms are gone for 4 s and come back, under 600 requests a second (capacity 800)"
    )
    columns = ("proxy", "first answer after s", "goodput of the 5 s after it", "most connections to one")
    bar = "Bar: at most 64 connections at once to each, beside that of a probe; goodput at least 80 % of what is asked."
    endpoints = 2

    def proxies(self, binary, ports):
        keys = 'bulkhead = { connections_per_endpoint = 64, queue = { size = 256, timeout = "1s" } }\nslow_start = "2s"\n'
        keys += '[clusters.app.health]\ncheck = { http = { path = "/" } }\ninterval = "500ms"\nfailing_interval = "500ms"\n'
        yield tidegate(binary, {"app": (ports, keys)})
        lines = ["balance leastconn", "option httpchk GET /", "timeout queue 1s"]
        yield haproxy({"app": (ports, lines, "maxconn 64 slowstart 2s check inter 500ms fall 3 rise 2")})
        yield nginx({"app": (ports, "", "max_conns=64 max_fails=1 fail_timeout=1s")})

    def run(self, start, ailing, _options):
        ailing.all(delay=0.02, slots=8)

        def back():
            ailing.tell({"reset": True})
            ailing.all(up=True)

        with start(ailing.ports):
            settle()
            steps = [(2, lambda: ailing.all(up=False)), (6, back)]
            seen = openloop.run(Load(WEB, 600, 14, at=steps))[0]
        most = max(port["most"] for port in ailing.tell({}).values())
        first = min((one.done for one in seen if one.status == 200 and one.due >= 6), default=14)
        return f"{first - 6:.1f}", f"{100 * share_good(within(seen, first, first + 5)):.0f} %", str(most)


class Overload:
    """F-32: three times as much as a cluster can do."""

    title = "F-32: an endpoint of 10 × 20 ms (500 a second), asked for 1500 a second"
    columns = (
        "proxy", "goodput, of the best", "accepted p50, p99 ms", "p99 ms at half load", "refused p50, p99 ms",
        "memory, MiB more",
    )
    bar = (
        "Bar: goodput at least 90 % of the best; accepted p99 within 3 × of that at half load; refusals within 10 ms;"
        " memory does not grow."
    )
    endpoints = 1

    def proxies(self, binary, ports):
        keys = 'outlier = { max_ejected = 0 }\n'
        keys += 'bulkhead = { connections_per_endpoint = 10, queue = { size = 64, timeout = "50ms" } }'
        yield tidegate(binary, {"app": (ports, keys)})
        keys = keys.replace('"50ms"', '"5s"').replace("64", "1024")
        yield tidegate(binary, {"app": (ports, keys)}, "Tidegate, queue of 1024, 5 s (default)")
        lines = ["timeout queue 50ms", "retries 0"]
        yield haproxy({"app": (ports, lines, "maxconn 10 maxqueue 64")})
        yield nginx({"app": (ports, "", "max_conns=10 max_fails=0")}, "proxy_next_upstream off;", "nginx (no queue)")

    def run(self, start, ailing, options):
        ailing.all(delay=0.02, slots=10)
        with start(ailing.ports) as peer:
            settle()
            base = openloop.run(Load(WEB, 250, 4))[0]
            best = share_good(openloop.run(Load(WEB, 500, 6))[0]) * 500
            memory = peer.tree.memory()[0]
            seconds = 60 if options.full else 15
            seen = openloop.run(Load(WEB, 1500, seconds))[0]
            memory = peer.tree.memory()[0] - memory
        seen = within(seen, 1, seconds)
        good, refused = ([one.took for one in seen if (one.status == 200) is wanted] for wanted in (True, False))
        return (
            f"{100 * len(good) / (seconds - 1) / best:.0f} %",
            f"{quantile(good, 0.5):.0f}, {quantile(good, 0.99):.0f}",
            f"{quantile(times(base), 0.99):.0f}",
            f"{quantile(refused, 0.5):.1f}, {quantile(refused, 0.99):.1f}",
            f"{memory / (1 << 20):.1f}",
        )


SCENARIOS = {one.__name__.lower(): one for one in (Slow, Failing, Hanging, Herd, Overload)}
PAGE = """\
# Resilience

Written by `make bench-resilience` (`benches/peers/resilience.py`); do not edit by hand. {intro}

{tables}
"""
INTRO = """\
Real processes: one proxy at a time, one worker, on core 0; its endpoints and its clients on core 1. Clients ask at a
fixed rate whatever becomes of their requests (an open loop), and a request's time counts from when it was due. The
settings of each proxy stand in that file; where a proxy lacks something (nginx has neither active checks nor a queue in
its open edition), it does without."""


class Started:
    """A proxy while it is needed."""

    def __init__(self, proxy, directory):
        title, argv, text = proxy
        name = re.sub(r"\W+", "-", title.lower())
        self.peer = Written(name, [part if part != "@DIR@" else directory / name for part in argv], text, directory)

    def __enter__(self):
        self.peer.start()
        return self.peer

    def __exit__(self, *_error):
        self.peer.stop()


def measure(scenario, options, directory):
    rows = []
    for number in itertools.count():
        titles = [proxy[0] for proxy in scenario.proxies(options.binary, range(FIRST, FIRST + 1))]
        if number == len(titles):
            return rows
        if options.only and options.only not in titles[number].lower():
            continue
        ailing = Ailing(scenario.endpoints)
        try:
            def start(ports, number=number):
                proxies = scenario.proxies(options.binary, ports)
                return Started(next(itertools.islice(proxies, number, None)), directory)

            rows.append((titles[number], *scenario.run(start, ailing, options)))
        finally:
            ailing.stop()
        print("  " + " | ".join(rows[-1]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/tidegate")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--only", help="proxies whose title has this")
    parser.add_argument("--full", action="store_true", help="overload for 60 s")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    tables = []
    with machine.cubic(), tempfile.TemporaryDirectory() as directory:
        for name in options.scenarios.split(","):
            scenario = SCENARIOS[name]()
            print(scenario.title, flush=True)
            rows = [scenario.columns, ("---",) * len(scenario.columns)]
            rows += measure(scenario, options, Path(directory))
            lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
            tables.append(f"## {scenario.title}\n\n{scenario.bar}\n\n{lines}\n")
    versions = f"nginx {Nginx.version()}, HAProxy {Haproxy.version()}, Tidegate {Tidegate('tidegate', WEB, Path('/tmp'), options.binary).version()}."
    if options.write:
        page = PAGE.format(intro=INTRO + " " + versions, tables="\n".join(tables).rstrip())
        options.write.write_text(page)


if __name__ == "__main__":
    main()
