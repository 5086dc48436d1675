"""The proxies that are compared, and the origin and load generator around them."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import machine
from machine import BenchError, Tree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROXY_CORE, LOAD_CORE = 0, 1
ORIGIN_PORTS = [9101, 9102, 9103, 9104]
ADMIN_OFFSET = 100

NGINX_LOG = (
    "log_format line escape=json '{\"time\":\"$time_iso8601\",\"request_id\":\"$request_id\","
    '"client":"$remote_addr","method":"$request_method","host":"$host","path":"$uri",'
    '"query":"$args","protocol":"$server_protocol","status":$status,'
    '"duration":$request_time,"connect":"$upstream_connect_time",'
    '"first_byte":"$upstream_header_time","bytes_in":$request_length,'
    '"bytes_out":$body_bytes_sent,"endpoint":"$upstream_addr"}\';\n'
    "    access_log {file} line buffer=64k flush=1s;"
)
NGINX_LARGE = (
    "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k; "
    "proxy_max_temp_file_size 0;"
)

# Five filters on a route, and what the others have in their place.
ROUTE = """
[[routes]]
name = "shop"
path_prefix = "/shop"
cluster = "origin"
"""
FILTERS = ROUTE + """
filters = [
  { ip_access = { deny = ["203.0.113.0/24"] } },
  { rate_limit = { limiter = "clients" } },
  { request_headers = { set = { x-tenant = "shop", x-client = "${client_ip}" }, remove = ["x-debug"] } },
  { response_headers = { set = { x-served-by = "edge" }, remove = ["server"] } },
  { rewrite = { prefix = "/" } },
]

[limiters.clients]
key = "client_ip"
rate = 1000000
"""
NGINX_ZONE = "limit_req_zone $binary_remote_addr zone=clients:10m rate=1000000r/s;"
NGINX_FILTERS = """location /shop/ {
            deny 203.0.113.0/24;
            limit_req zone=clients burst=1000000 nodelay;
            proxy_set_header x-tenant shop;
            proxy_set_header x-client $remote_addr;
            proxy_set_header x-debug "";
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            add_header x-served-by edge;
            rewrite ^/shop/(.*)$ /$1 break;
            proxy_pass http://origin;
            proxy_http_version 1.1;
        }"""
HAPROXY_FILTERS = """stick-table type ip size 100k expire 10s store http_req_rate(1s)
    http-request deny if { src 203.0.113.0/24 }
    http-request track-sc0 src
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }
    http-request set-header x-tenant shop
    http-request set-header x-client %[src]
    http-request del-header x-debug
    http-request replace-path /shop/(.*) /\\1
    http-response set-header x-served-by edge
    http-response del-header server"""


def tidegate_head(admin):
    """What a configuration of ours begins with: one worker, and nothing written for what goes well."""
    return f"""
[runtime]
workers = 1
[admin]
bind = "127.0.0.1:{admin}"
[log]
level = "error"
[log.access]
output = "off"
"""


def request(port, path="/", host="127.0.0.1"):
    """One GET on a connection of its own; returns the body of a 200."""
    with socket.create_connection((host, port), 5) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        stream.settimeout(5)
        answer = b""
        while part := stream.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0] + b" ":
        raise BenchError(f"port {port} answered {head[:80]!r}")
    return body


def wait_until(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while True:
        try:
            if (value := condition()) is not None:
                return value
        except (OSError, BenchError):
            pass
        if time.monotonic() > end:
            raise BenchError(f"{what} did not come up in {seconds} s")
        time.sleep(0.02)


class Origin:
    """The project's own origin: bench-origin."""

    def __init__(self, binary, directory):
        for port in ORIGIN_PORTS:
            machine.prove_free(port)
        self.process = machine.spawn(
            [binary, ORIGIN_PORTS[0], len(ORIGIN_PORTS)], LOAD_CORE, directory
        )
        wait_until("the origin", self.counts)

    def counts(self):
        """Requests answered so far, by port."""
        if self.process.poll() is not None:
            raise BenchError("the origin ended")
        # The origin keeps connections open, so the length tells the end.
        with socket.create_connection(("127.0.0.1", ORIGIN_PORTS[0]), 5) as stream:
            stream.sendall(b"GET /_count HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := stream.recv(65536):
                answer += part
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def settled(self):
        """Requests answered so far, once those that a load generator left behind are done."""
        before = -1
        while (now := sum(self.counts())) != before:
            before = now
            time.sleep(0.05)
        return now

    def stop(self):
        machine.stop(self.process)


class Peer:
    """One proxy with one configuration, started on demand."""

    def __init__(self, name, port, directory):
        self.name, self.port = name, port
        self.directory = directory / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "access.log"
        self.process = None

    def render(self, template, target, **values):
        text = (HERE / template).read_text()
        values |= {"PORT": self.port, "DIR": self.directory, "ADMIN": self.port + ADMIN_OFFSET}
        values |= {f"ORIGIN{n}": port for n, port in enumerate(ORIGIN_PORTS, 1)}
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        path = self.directory / target
        path.write_text(text)
        return path

    def command(self):
        raise NotImplementedError

    def start(self):
        machine.prove_free(self.port)
        output = (self.directory / "output.log").open("w")
        self.process = machine.spawn(
            self.command(), PROXY_CORE, self.directory, stdout=output, stderr=output
        )
        wait_until(self.name, self.answers)
        self.tree = Tree(self.process.pid)
        if not self.tree.owns(machine.listeners(self.port)):
            raise BenchError(f"another process listens on {self.port} beside {self.name}")

    def answers(self):
        if not self.alive():
            tail = (self.directory / "output.log").read_text()[-1500:]
            sys.exit(f"bench: {self.name} ended at its start:\n{tail}")
        return request(self.port)

    def stop(self):
        if self.process:
            machine.stop(self.process)
            self.process = None

    def logged(self):
        """Whether this proxy writes an access log."""
        return False

    def log_lines(self, expected):
        """Lines in the access log, once there are as many as expected or none came for 2 s."""
        lines, since = -1, time.monotonic()
        while time.monotonic() - since < 2:
            now = sum(part.count(b"\n") for part in iter(self.read_log(), b""))
            if now >= expected:
                return now
            if now != lines:
                lines, since = now, time.monotonic()
            time.sleep(0.1)
        return lines

    def read_log(self):
        stream = self.log.open("rb")
        return lambda: stream.read(1 << 20)

    def alive(self):
        return self.process is not None and self.process.poll() is None


class Nginx(Peer):
    def __init__(self, name, port, directory, buffers="", access_log=False, zone="", filters=""):
        super().__init__(name, port, directory)
        self.buffers, self.access_log = buffers, access_log
        self.zone, self.filters = zone, filters

    def command(self):
        log = NGINX_LOG.replace("{file}", str(self.log)) if self.access_log else "access_log off;"
        config = self.render(
            "nginx.conf.in", "nginx.conf", ACCESS_LOG=log, BUFFERS=self.buffers, ZONE=self.zone,
            FILTERS=self.filters,
        )
        return ["nginx", "-p", self.directory, "-c", config]

    def logged(self):
        return self.access_log

    @staticmethod
    def version():
        return subprocess.run(
            ["nginx", "-v"], capture_output=True, text=True, check=True
        ).stderr.strip().rpartition("/")[2]


class Haproxy(Peer):
    def __init__(self, name, port, directory, filters=""):
        super().__init__(name, port, directory)
        self.filters = filters

    def command(self):
        config = self.render("haproxy.cfg.in", "haproxy.cfg", FILTERS=self.filters)
        return ["haproxy", "-db", "-f", config]

    @staticmethod
    def version():
        return subprocess.run(
            ["haproxy", "-v"], capture_output=True, text=True, check=True
        ).stdout.split()[2]


class Tidegate(Peer):
    def __init__(self, name, port, directory, binary, access_log=False, routes=""):
        super().__init__(name, port, directory)
        self.binary, self.access_log, self.routes = binary, access_log, routes

    def command(self):
        log = f'{{ file = {{ path = "{self.log}" }} }}' if self.access_log else '"off"'
        config = self.render(
            "tidegate.toml.in", "tidegate.toml", ACCESS_LOG=log, ROUTES=self.routes
        )
        machine.prove_free(self.port + ADMIN_OFFSET)
        return [self.binary, "run", "-c", config]

    def logged(self):
        return self.access_log

    def version(self):
        return subprocess.run(
            [self.binary, "version"], capture_output=True, text=True, check=True
        ).stdout.split()[-1]


FIELDS = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Cookie: session=3f8b1c2d4e5f60718293a4b5c6d7e8f9; theme=dark",
    "Cache-Control: no-cache",
]


def load(port, scenario, seconds):
    """One run of the load generator that the scenario asks for; returns what it counted."""
    return (oha if scenario.rate else wrk)(port, scenario, seconds)


def oha(port, scenario, seconds):
    """A fixed rate: latency counts from when a request was due, not from when it was sent."""
    tools = os.environ.get("TIDEGATE_TOOLS") or Path.home() / ".cache/tidegate"
    argv = ["taskset", "-c", str(LOAD_CORE), str(Path(tools) / "bin/oha"), "--no-tui"]
    argv += ["--output-format", "json", "--latency-correction", "-q", str(scenario.rate)]
    argv += ["-c", str(scenario.connections), "-z", f"{seconds}s", "-w"]
    for field in FIELDS:
        argv += ["-H", field]
    argv.append(f"http://127.0.0.1:{port}{scenario.path}")
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    if run.returncode:
        raise BenchError(f"oha failed: {run.stderr[-300:]}")
    seen = json.loads(run.stdout)
    answered = seen["statusCodeDistribution"]
    return {
        "requests": answered.get("200", 0),
        "duration_us": seen["summary"]["total"] * 1e6,
        "p50_us": seen["latencyPercentiles"]["p50"] * 1e6,
        "p99_us": seen["latencyPercentiles"]["p99"] * 1e6,
        "status": sum(answered.values()) - answered.get("200", 0),
        "read": sum(seen["errorDistribution"].values()),
        "connect": 0,
        "write": 0,
        "timeout": 0,
    }


def wrk(port, scenario, seconds):
    """As many requests as the proxy takes."""
    fields = FIELDS + (["Connection: close"] if scenario.connection == "new" else [])
    argv = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{scenario.connections}"]
    argv += [f"-d{seconds}s", "--latency", "--timeout", "10s", "-s", str(HERE / "wrk.lua")]
    for field in fields:
        argv += ["-H", field]
    argv.append(f"http://127.0.0.1:{port}{scenario.path}")
    env = os.environ | {"BENCH_METHOD": scenario.method, "BENCH_BODY": str(scenario.body)}
    run = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    for line in run.stdout.splitlines():
        if line.startswith("JSON "):
            return json.loads(line[5:])
    raise BenchError(f"wrk failed: {run.stdout[-300:]} {run.stderr[-300:]}")
