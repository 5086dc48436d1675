"""A client that asks when a request is due, whatever became of those before: an open loop."""

import asyncio
import dataclasses


@dataclasses.dataclass
class Seen:
    """What became of one request; times are seconds since the load began."""

    due: float
    done: float = 0.0
    status: int = 0
    port: int = 0

    @property
    def took(self):
        return self.done - self.due


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load):
        self.load, self.input, self.transport, self.seen = load, b"", None, None

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, seen):
        self.seen, self.input = seen, b""
        self.transport.write(self.load.request)

    def data_received(self, data):
        self.input += data
        head, end, body = self.input.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if len(body) < int(fields.get("content-length", 0)):
            return
        self.answered(int(lines[0].split()[1]), int(fields.get("x-port", 0)))
        if fields.get("connection") == "close":
            self.transport.close()
        else:
            self.load.idle.append(self)

    def answered(self, status, port):
        seen, self.seen = self.seen, None
        if seen:
            seen.done, seen.status, seen.port = self.load.now(), status, port

    def connection_lost(self, _error):
        self.answered(0, 0)
        if self in self.load.idle:
            self.load.idle.remove(self)


class Load:
    """Requests to a port at a rate; `at` has what is done meanwhile: (second, what to call)."""

    def __init__(self, port, rate, seconds, path="/", at=()):
        self.port, self.rate, self.seconds = port, rate, seconds
        self.request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        self.steps = sorted(at, key=lambda step: step[0])
        self.idle, self.seen = [], []

    def now(self):
        return asyncio.get_running_loop().time() - self.began

    async def one(self, seen):
        loop = asyncio.get_running_loop()
        try:
            _, client = await loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
        except OSError:
            seen.done = self.now()
        else:
            client.ask(seen)

    async def run(self):
        loop = asyncio.get_running_loop()
        self.began, waiting = loop.time(), set()
        for number in range(int(self.rate * self.seconds)):
            due = number / self.rate
            while (left := due - self.now()) > 0:
                await asyncio.sleep(left)
            while self.steps and self.steps[0][0] <= due:
                await asyncio.to_thread(self.steps.pop(0)[1])
            seen = Seen(due)
            self.seen.append(seen)
            if self.idle:
                self.idle.pop().ask(seen)
            else:
                task = asyncio.create_task(self.one(seen))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
        end = self.now() + 5
        while self.now() < end and any(not seen.done for seen in self.seen):
            await asyncio.sleep(0.05)
        for seen in self.seen:
            seen.done = seen.done or self.now()
        for client in self.idle:
            client.transport.abort()
        return self.seen


async def together(loads):
    return await asyncio.gather(*(load.run() for load in loads))


def run(*loads):
    """Runs them side by side; what each saw."""
    return asyncio.run(together(loads))


def quantile(values, share):
    """In milliseconds; 0 of nothing."""
    values = sorted(values)
    return 1000 * values[round((len(values) - 1) * share)] if values else 0.0
