"""A client of HTTP/2 by PyPI's `h2` and `hpack`, over its standard input and output: `http2_peer.py SEED REQUESTS`.

The other end answers with the fields that begin with `x-`, the body and the trailers of the request. Whatever differs ends
this with an error.
"""

import random
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

seed, requests = int(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
connection.initiate_connection()


def flush():
    sys.stdout.buffer.write(connection.data_to_send())
    sys.stdout.buffer.flush()


def word(most):
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz-0123456789 ~") for _ in range(chance.randrange(most))).strip()


class Call:
    def __init__(self):
        self.fields = [(f"x-{chance.randrange(30)}", word(chance.choice([4, 30, 300]))) for _ in range(chance.randrange(12))]
        self.body = chance.randbytes(chance.choice([0, 0, 1, 100, 16384, 16385, 70_000, 200_000]))
        self.trailers = [(f"x-t{at}", word(20)) for at in range(chance.choice([0, 0, 1, 3]))]
        self.sent, self.head, self.read, self.behind, self.ended = 0, None, b"", [], False

    def done(self):
        return self.sent > len(self.body)


open_calls, begun, finished = {}, 0, 0
# What it says at the beginning is acknowledged, too.
agreed, window = False, 65535
while finished < requests:
    while begun < requests and len(open_calls) < 20:
        call, stream = Call(), connection.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":path", f"/{begun}"), (":authority", "test.example")]
        connection.send_headers(stream, head + call.fields)
        open_calls[stream] = call
        begun += 1
        # One at a time, and windows only grow: an acknowledgement makes this library take all that it has said for
        # agreed, and it does not open a window again that a setting has shut.
        if agreed and chance.random() < 0.2:
            codes = h2.settings.SettingCodes
            if chance.random() < 0.5:
                connection.update_settings({codes.HEADER_TABLE_SIZE: chance.choice([0, 100, 4096, 65536])})
            else:
                window = min(window * 2, 1 << 24)
                connection.update_settings({codes.INITIAL_WINDOW_SIZE: window})
            agreed = False
    for stream, call in open_calls.items():
        while not call.done():
            room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size, len(call.body) - call.sent)
            if call.sent == len(call.body):
                if call.trailers:
                    connection.send_headers(stream, call.trailers, end_stream=True)
                else:
                    connection.end_stream(stream)
                call.sent += 1
            elif room > 0:
                size = chance.randrange(room) + 1
                padding = chance.choice([None, None, None, 0]) if size < room else None
                connection.send_data(stream, call.body[call.sent : call.sent + size], pad_length=padding)
                call.sent += size
            else:
                break
    flush()
    came = sys.stdin.buffer.read1(65536)
    assert came, "the other end closed"
    for event in connection.receive_data(came):
        call = open_calls.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.SettingsAcknowledged):
            agreed = True
        elif isinstance(event, h2.events.ResponseReceived):
            call.head = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            call.read += event.data
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            call.behind = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            assert [tuple(line) for line in call.head] == [(":status", "200")] + call.fields, (call.head, call.fields)
            assert call.read == call.body, (len(call.read), len(call.body))
            assert [tuple(line) for line in call.behind] == call.trailers, (call.behind, call.trailers)
            del open_calls[event.stream_id]
            finished += 1
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            raise AssertionError(event)
flush()
