"""Memory of idle keep-alive connections: each asks once, then says nothing."""

import gc
import socket
import time

import machine
from peers import request

# So many local addresses that no limit per client is met at its default.
CLIENTS = 16


def hold(port, count):
    """Opens connections one after another, one answered request each."""
    held = []
    for number in range(count):
        stream = socket.socket()
        stream.bind((f"127.0.0.{2 + number % CLIENTS}", 0))
        stream.connect(("127.0.0.1", port))
        stream.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        answer = b""
        while not answer.endswith(b"x") and b"\r\n\r\n" not in answer:
            answer += stream.recv(4096)
        held.append(stream)
    return held


def alive(held):
    """How many are still open: nothing to read means open."""
    still = 0
    for stream in held:
        stream.setblocking(False)
        try:
            still += stream.recv(4096) != b""
        except BlockingIOError:
            still += 1
    return still


def measure(peer, count):
    """Resident and proportional memory of a fresh process, before and with idle connections."""
    peer.start()
    try:
        for _ in range(200):
            request(peer.port)
        time.sleep(1)
        base = peer.tree.memory()
        held = hold(peer.port, count)
        time.sleep(1)
        with_idle, cpu = peer.tree.memory(), peer.tree.cpu_ns()
        time.sleep(2)
        cpu = peer.tree.cpu_ns() - cpu
        still = alive(held)
        for stream in held:
            stream.close()
        if still != count:
            raise machine.BenchError(f"{peer.name} kept {still} of {count} idle connections")
        return {
            "connections": count,
            "base": base,
            "with_idle": with_idle,
            "bytes_each": (with_idle[1] - base[1]) / count,
            "cpu_us_per_second": cpu / 2000,
        }
    finally:
        peer.stop()
        gc.collect()
