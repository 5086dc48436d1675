"""smugglex against the proxy, and against a proxy that is weak on purpose: 0 findings mean something only if the same
scan finds something there.

usage: smuggling.py SMUGGLEX TIDEGATE
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

CHECKS = "cl-te,te-cl,te-te,h2c,h2,cl-edge,cl-0,0-cl,parser-discrepancy"
CLOSED = (ConnectionError, TimeoutError, ValueError, IndexError)


class Reader:
    """Bytes of a socket, by line and by number."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError
        self.buffer += data

    def until(self, end):
        while end not in self.buffer:
            self.more()
        part, _, self.buffer = self.buffer.partition(end)
        return part + end

    def exactly(self, count):
        while len(self.buffer) < count:
            self.more()
        part, self.buffer = self.buffer[:count], self.buffer[count:]
        return part


def field(head, name):
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().lower()
    return b""


def origin(sock):
    """Believes Transfer-Encoding, as an origin should."""
    reader = Reader(sock)
    while True:
        head = reader.until(b"\r\n\r\n")
        if b"chunked" in field(head, b"transfer-encoding"):
            while size := int(reader.until(b"\r\n").split(b";")[0], 16):
                reader.exactly(size + 2)
            reader.until(b"\r\n")
        else:
            reader.exactly(int(field(head, b"content-length") or 0))
        line = head.split(b"\r\n")[0]
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(line), line))


def weak(sock, addr):
    """Believes Content-Length alone, and passes on what it was sent as it stands."""
    reader = Reader(sock)
    with socket.create_connection(addr) as upstream:
        answers = Reader(upstream)
        while True:
            head = reader.until(b"\r\n\r\n")
            upstream.sendall(head + reader.exactly(int(field(head, b"content-length") or 0)))
            answer = answers.until(b"\r\n\r\n")
            sock.sendall(answer + answers.exactly(int(field(answer, b"content-length"))))


def serve(talk, *arguments):
    """Where it listens."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(sock):
        with sock:
            sock.settimeout(20)
            try:
                talk(sock, *arguments)
            except CLOSED:
                pass

    def accept():
        while True:
            threading.Thread(target=one, args=listener.accept()[:1], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()


def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def proxy(binary, directory, endpoint):
    """The proxy as a process, and where it listens."""
    port = free()
    path = os.path.join(directory, "tidegate.toml")
    with open(path, "w") as file:
        file.write(
            f"""
[log.access]
output = "off"

[[listeners]]
name = "web"
bind = ["127.0.0.1:{port}"]
protocol = "http"

[[routes]]
name = "all"
cluster = "app"

[clusters.app]
endpoints = ["{endpoint[0]}:{endpoint[1]}"]
"""
        )
    process = subprocess.Popen([binary, "run", "-c", path], stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, ("127.0.0.1", port)
        except OSError:
            time.sleep(0.05)
    process.kill()
    sys.exit("smuggling: the proxy does not listen")


def scan(smugglex, addr):
    """The names of the checks that found something, and how many were made."""
    command = [smugglex, "--json", "--no-color", "-t", "2", "-c", CHECKS, f"http://{addr[0]}:{addr[1]}/"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=1800).stdout
    checks = [check for result in json.loads(output)["results"] for check in result["checks"]]
    return [check["check_type"] for check in checks if check["vulnerable"]], len(checks)


def main(smugglex, tidegate):
    endpoint = serve(origin)
    found, made = scan(smugglex, serve(weak, endpoint))
    print(f"smuggling: the weak proxy: {len(found)} findings in {made} checks: {', '.join(found)}")
    if not found:
        sys.exit("smuggling: the scan finds nothing where there is something")
    with tempfile.TemporaryDirectory() as directory:
        process, addr = proxy(tidegate, directory, endpoint)
        try:
            found, made = scan(smugglex, addr)
        finally:
            process.terminate()
            process.wait()
    print(f"smuggling: tidegate: {len(found)} findings in {made} checks")
    if found:
        sys.exit(f"smuggling: found: {', '.join(found)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
