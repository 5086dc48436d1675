"""QUIC by aioquic. `serve NAME CHAIN KEY` echoes behind its name and prints its port; `move HOST PORT CA TIMES` asks once over one
connection, and again after each time that its socket was replaced by another, and prints the answers."""

import asyncio
import socket
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived

ALPN = ["echo"]


def server(name):
    class Echo(QuicConnectionProtocol):
        def quic_event_received(self, event):
            if isinstance(event, StreamDataReceived) and event.data:
                self._quic.send_stream_data(event.stream_id, name + event.data, True)
                self.transmit()

    return Echo


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.answers = asyncio.Queue()

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived) and event.data:
            self.answers.put_nowait(event.data)

    async def ask(self, what):
        stream = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream, what, True)
        self.transmit()
        return (await asyncio.wait_for(self.answers.get(), 20)).decode()

    async def move(self):
        """What a NAT does that forgot a client: the same connection, from another port."""
        other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        other.bind(("::", 0))
        before = self._transport
        # The new transport takes the place of the old one.
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=other)
        before.close()


async def echo(name, chain, key):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=ALPN)
    configuration.load_cert_chain(chain, key)
    started = await serve(
        "127.0.0.1", 0, configuration=configuration, create_protocol=server(name.encode())
    )
    print(started._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


async def move(host, port, ca, times):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=ALPN, server_name="localhost")
    configuration.load_verify_locations(ca)
    async with connect(
        host, int(port), configuration=configuration, create_protocol=Client
    ) as client:
        print(await client.ask(b"0"), flush=True)
        for time in range(1, int(times) + 1):
            await client.move()
            print(await client.ask(str(time).encode()), flush=True)


asyncio.run({"serve": echo, "move": move}[sys.argv[1]](*sys.argv[2:]))
