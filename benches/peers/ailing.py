#!/usr/bin/env python3
"""Endpoints that are slow, full, failing or gone on demand: ailing.py CONTROL_PORT FIRST_PORT COUNT.

Every port serves GETs: `slots` at once, each for `delay` seconds, the rest in turn; a share of `fail` is answered
503. A line of JSON to the control port, `{"PORT": {"delay": 0.1}}`, changes ports and is answered with what each has
counted; `{"reset": true}` counts anew.
"""

import asyncio
import collections
import json
import random
import sys


class Port:
    """One endpoint."""

    def __init__(self, number):
        self.number = number
        self.slots, self.delay, self.fail, self.up = 0, 0.0, 0.0, True
        self.server = None
        self.connections, self.waiting, self.busy = set(), collections.deque(), 0
        self.reset()

    def reset(self):
        self.requests, self.last, self.most = 0, 0.0, len(self.connections)

    def told(self):
        return {"requests": self.requests, "last": self.last, "most": self.most}

    async def set(self, **values):
        for name, value in values.items():
            setattr(self, name, value)
        if self.up and self.server is None:
            loop = asyncio.get_running_loop()
            self.server = await loop.create_server(
                lambda: Connection(self), "127.0.0.1", self.number, backlog=4096
            )
        if not self.up and self.server is not None:
            self.server.close()
            self.server = None
            for connection in list(self.connections):
                connection.transport.abort()


class Connection(asyncio.Protocol):
    def __init__(self, port):
        self.port, self.input, self.transport = port, b"", None

    def connection_made(self, transport):
        self.transport = transport
        self.port.connections.add(self)
        self.port.most = max(self.port.most, len(self.port.connections))

    def connection_lost(self, _error):
        self.port.connections.discard(self)
        if self in self.port.waiting:
            self.port.waiting.remove(self)

    def data_received(self, data):
        self.input += data
        while b"\r\n\r\n" in self.input:
            self.input = self.input.partition(b"\r\n\r\n")[2]
            port = self.port
            port.requests += 1
            port.last = asyncio.get_running_loop().time()
            if port.slots and port.busy >= port.slots:
                port.waiting.append(self)
            else:
                self.begin()

    def begin(self):
        self.port.busy += 1
        asyncio.get_running_loop().call_later(self.port.delay, self.end)

    def end(self):
        port = self.port
        port.busy -= 1
        if not self.transport.is_closing():
            status = "503 Service Unavailable" if random.random() < port.fail else "200 OK"
            self.transport.write(
                f"HTTP/1.1 {status}\r\nX-Port: {port.number}\r\nContent-Length: 2\r\n\r\nok".encode()
            )
        if port.waiting and port.busy < (port.slots or sys.maxsize):
            port.waiting.popleft().begin()


async def main(control, first, count):
    ports = {number: Port(number) for number in range(first, first + count)}
    for port in ports.values():
        await port.set()

    async def serve(reader, writer):
        while line := await reader.readline():
            order = json.loads(line)
            if order.pop("reset", False):
                for port in ports.values():
                    port.reset()
            for number, values in order.items():
                await ports[int(number)].set(**values)
            writer.write(json.dumps({n: p.told() for n, p in ports.items()}).encode() + b"\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", control) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:4])))
