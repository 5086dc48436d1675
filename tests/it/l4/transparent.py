"""Three hosts in network namespaces of their own: a client, the proxy between, an endpoint. `link COMMAND…` and `mark COMMAND…` run the
proxy here, in a namespace that the caller made, with one way back or the other of docs/l4.md; the client asks it over TCP, HTTP and UDP,
with `mark` also the endpoint itself through this host, and each answer, the peer that the endpoint saw, is printed."""

import ctypes
import http.server
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

WAY, *COMMAND = sys.argv[1:]
CLONE_NEWNET = 0x40000000
CLIENT, ENDPOINT = "10.77.1.2", "10.77.2.2"
# The proxy's own end of each link.
SIDES = {CLIENT: "10.77.1.1", ENDPOINT: "10.77.2.1"}


def ip(*words, inside=None):
    prefix = ["nsenter", "-t", str(inside), "-n"] if inside else []
    subprocess.run([*prefix, "ip", *words], check=True)


class Host(threading.Thread):
    """A thread in a namespace of its own, with a link to the proxy."""

    def __init__(self, name, addr, run):
        super().__init__(daemon=True)
        self.label, self.addr, self.steps = name, addr, run
        self.made, self.linked, self.error = threading.Event(), threading.Event(), None
        self.start()
        self.made.wait(10)
        if self.error:
            raise self.error
        ours, theirs = f"{name}0", f"{name}1"
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
        ip("link", "set", theirs, "netns", str(self.native_id))
        ip("addr", "add", f"{SIDES[addr]}/24", "dev", ours)
        ip("link", "set", ours, "up")
        self.linked.set()

    def run(self):
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            self.made.set()
            self.linked.wait(10)
            link = f"{self.label}1"
            ip("addr", "add", f"{self.addr}/24", "dev", link)
            ip("link", "set", link, "up")
            ip("route", "add", "default", "via", SIDES[self.addr])
            self.steps()
        except Exception as error:
            traceback.print_exc()
            self.error = error
            self.made.set()


def endpoint():
    class Peer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.client_address[0].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    # Not an `HTTPServer`, which asks for the name of its address first.
    web = socketserver.ThreadingTCPServer((ENDPOINT, 8080), Peer)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((ENDPOINT, 7000))

    def flows():
        while True:
            _, peer = datagrams.recvfrom(64)
            datagrams.sendto(peer[0].encode(), peer)

    threading.Thread(target=flows, daemon=True).start()
    listener = socket.create_server((ENDPOINT, 7000))
    ready.set()
    while True:
        stream, peer = listener.accept()
        stream.sendall(peer[0].encode())
        stream.close()


def client():
    def stream(to=SIDES[CLIENT]):
        with socket.create_connection((to, 7000), 10) as asked:
            return asked.recv(64).decode()

    def page():
        with socket.create_connection((SIDES[CLIENT], 8080), 10) as asked:
            asked.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = b""
            while more := asked.recv(4096):
                text += more
            return text.rsplit(b"\r\n", 1)[1].decode()

    def flow():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(10)
            asked.connect((SIDES[CLIENT], 7000))
            asked.send(b"who?")
            return asked.recv(64).decode()

    for _ in range(200):
        try:
            stream()
            break
        except OSError:
            time.sleep(0.05)
    ways = [("tcp", stream), ("http", page), ("udp", flow)]
    if WAY == "mark":
        ways.append(("routed", lambda: stream(ENDPOINT)))
    for name, ask in ways:
        print(name, ask(), flush=True)
    asked.set()


ready, asked = threading.Event(), threading.Event()
ip("link", "set", "lo", "up")
Host("e", ENDPOINT, endpoint)
assert ready.wait(10), "no endpoint"
# What the endpoint answers to clients' addresses is for sockets of this host.
if WAY == "link":
    ip("rule", "add", "iif", "e0", "lookup", "100")
else:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    rule = "-t mangle -A PREROUTING -i e0 -m socket --transparent -j MARK --set-mark 1"
    subprocess.run(["iptables", *rule.split()], check=True)
    ip("rule", "add", "fwmark", "1", "lookup", "100")
ip("route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100")
host = Host("c", CLIENT, client)
proxy = subprocess.Popen(COMMAND)
try:
    asked.wait(30)
    if host.error:
        raise host.error
finally:
    proxy.kill()
    proxy.wait()
os._exit(0 if asked.is_set() else 1)
