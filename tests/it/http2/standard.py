"""What RFC 9113 and RFC 7541 ask of the end that serves, case by case, as suites of conformance ask for it.

`standard.py HOST PORT SCHEME PATH` prints one line of JSON for each case: where it stands, what was expected and what was
seen. Every case has a connection of its own, and every frame a write of its own: between two of them the other end may
have answered. `rows.py` beside it asks for one code and scope each, and sends in one write.

What is expected is a list of which one must come: the head of an answer, the answer to a PING, DATA of a length, the end
of a stream, an error of the stream or of the connection with one of its codes, or the end of the connection.
"""

import json
import socket
import ssl
import sys

import hpack
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from rows import (
    ACK, AUTHORITY, CLOSED, COMPRESSION, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW, GOAWAY, HEADERS, PADDED, PING,
    PREFACE, PRIORITY, PROTOCOL, PUSH, REFUSED, RST, SETTINGS, SIZE, WINDOW, WITH_PRIORITY, Connection, data, frame, line,
    number, setting, text,
)

INITIAL_WINDOW = 4
SCHEME, TARGET = (":scheme", sys.argv[3]), (":path", sys.argv[4])
GET, POST, HEAD = ([(":method", method), SCHEME, TARGET, AUTHORITY] for method in ("GET", "POST", "HEAD"))
WHOLE = END_STREAM | END_HEADERS
LONG = "x" * 4000


def head(lines=GET, flags=WHOLE, stream=1, extra=b"", front=b""):
    """HEADERS as a library writes them: indexed, and by Huffman where that is shorter."""
    return frame(HEADERS, flags, stream, front + hpack.Encoder().encode(lines) + extra)


def on(stream, flags, payload):
    return frame(HEADERS, flags, stream, payload)


def encoded(lines):
    return hpack.Encoder().encode(lines)


def window(stream, by):
    return frame(WINDOW, 0, stream, by.to_bytes(4, "big"))


def reset(stream=1, code=8):
    return frame(RST, 0, stream, code.to_bytes(4, "big"))


def priority(stream, depends=0, weight=255, exclusive=0):
    return frame(PRIORITY, 0, stream, (exclusive << 31 | depends).to_bytes(4, "big") + bytes([weight]))


def ping(payload=b"\0" * 8, flags=0):
    return frame(PING, flags, 0, payload)


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(setting(*pair) for pair in pairs))


# What is waited for between two frames.
AGREED, ENDED, SOME = "agreed", "ended", "some"

ANSWER, PONG = ["head"], ["pong"]
GONE = ["closed"]


def lost(*codes):
    return [GONE, *(["goaway", code] for code in codes)]


def broken(*codes):
    return [*lost(*codes), *(["rst", code] for code in codes)]


open_get, open_post = head(GET, END_HEADERS), head(POST, END_HEADERS)
cases = []


def case(section, name, steps, expected):
    cases.append((section, name, steps, expected))


# ── what a server must take ──
case("3.4", "a preface", [], [["settings"]])
case("5.1", "PRIORITY on an idle stream", [priority(1), ping()], [PONG])
for what, sent in [("WINDOW_UPDATE", b""), ("PRIORITY", priority(1))]:
    case("5.1", f"{what} on a stream half closed", [settings((INITIAL_WINDOW, 0)), head(), sent, window(1, 1)], [["data", 1]])
case("5.1", "RST_STREAM on a stream half closed", [head(), reset(), ping()], [PONG])
case("5.1", "PRIORITY on a closed stream", [head(), ENDED, priority(1), ping()], [PONG])
case("6.1", "DATA", [open_post, data(b"test", flags=END_STREAM)], [ANSWER])
case("6.1", "DATA in several frames", [open_post, data(b"test"), data(b"test", flags=END_STREAM)], [ANSWER])
case("6.1", "DATA with padding", [open_post, frame(DATA, END_STREAM | PADDED, 1, b"\x06test" + b"\0" * 6)], [ANSWER])
case("6.2", "HEADERS", [head()], [ANSWER])
case("6.2", "HEADERS with padding", [head(flags=WHOLE | PADDED, front=b"\x06", extra=b"\0" * 6)], [ANSWER])
case("6.2", "HEADERS with priority", [head(flags=WHOLE | WITH_PRIORITY, front=b"\0\0\0\0\xff")], [ANSWER])
for name, sent in [("of 1", priority(1, weight=0)), ("of 256", priority(1)), ("with a dependency", priority(3, 1)),
                   ("that is exclusive", priority(1, exclusive=1)), ("of a higher stream", priority(3))]:
    case("6.3", f"PRIORITY {name}", [sent, head()], [ANSWER])
case("6.4", "RST_STREAM", [open_get, reset(), ping()], [PONG])
case("6.5", "SETTINGS", [settings((INITIAL_WINDOW, 65535)), AGREED], [["settings"]])
case("6.7", "PING", [ping(b"12345678")], [PONG])
case("6.8", "GOAWAY", [frame(GOAWAY, 0, 0, b"\0" * 8), ping()], [PONG, GONE])
case("6.9", "WINDOW_UPDATE of the connection", [window(0, 1), ping()], [PONG])
case("6.9", "WINDOW_UPDATE of a stream", [head(), window(1, 1), ping()], [PONG])
half = len(encoded(GET)) // 2
case("6.10", "CONTINUATION", [on(1, END_STREAM, encoded(GET)[:half]), frame(CONTINUATION, END_HEADERS, 1, encoded(GET)[half:])], [ANSWER])
case("6.10", "CONTINUATION in several frames", [head(GET, END_STREAM), frame(CONTINUATION, 0, 1, line("x-a", LONG)),
     frame(CONTINUATION, END_HEADERS, 1, line("x-b", LONG))], [ANSWER])
case("8.1", "GET", [head()], [ANSWER])
case("8.1", "HEAD", [head(HEAD)], [ANSWER])
case("8.1", "POST", [open_post, data(b"test", flags=END_STREAM)], [ANSWER])
case("8.1", "POST with trailers", [head(POST + [("trailer", "x-test")], END_HEADERS), data(b"test"), head([("x-test", "ok")])], [ANSWER])
HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def coded(value, more=b"", mask=0xFF):
    """A string by Huffman, with more behind it, and its last byte masked."""
    out = HUFFMAN.encode(value.encode())
    out = out[:-1] + bytes([out[-1] & mask]) + more
    return number(len(out), 7, 0x80) + out


for how, string in [("as it is", text), ("by Huffman", coded)]:
    for kind, prefix, pattern in [("indexed", 6, 0x40), ("not indexed", 4, 0), ("never indexed", 4, 0x10)]:
        # 58 is user-agent.
        known, new = number(58, prefix, pattern), bytes([pattern]) + string("x-test")
        case("7541 6.2", f"a literal of a known name, {kind}, {how}", [head(extra=known + string("words"))], [ANSWER])
        case("7541 6.2", f"a literal of a new name, {kind}, {how}", [head(extra=new + string("words"))], [ANSWER])
case("7541 6.1", "an indexed line", [head(extra=b"\xba")], [ANSWER])
case("7541 6.3", "a new size of the table", [head(front=b"\x20")], [ANSWER])
case("7541 4.2", "two new sizes of the table", [head(front=b"\x20\x3f\xe1\x1f")], [ANSWER])

# ── what it must refuse ──
case("3.4", "words that are no preface", [None, b"INVALID CONNECTION PREFACE\r\n\r\n"], [GONE])
case("3.4", "the preface, broken off", [None, PREFACE[:18] + b"XX\r\n\r\n"], [["goaway", PROTOCOL]])
case("4.1", "an unknown frame", [frame(0x16, 0, 0, b"\0" * 8), ping()], [PONG])
case("4.1", "unknown flags", [ping(flags=0xFE)], [PONG])
case("4.1", "the reserved bit", [frame(PING, 0, 0x8000_0000, b"\0" * 8)], [PONG])
case("4.2", "DATA of 16384", [open_post, data(b"x" * 16384, flags=END_STREAM)], [ANSWER])
case("4.2", "DATA of 16385", [open_post, data(b"x" * 16385, flags=END_STREAM)], broken(SIZE))
case("4.2", "HEADERS of more than 16384", [head(extra=line("x-a", "x" * 16384))], lost(SIZE))
case("4.3", "a block cut off", [on(1, WHOLE, b"\x40")], lost(COMPRESSION))
case("4.3", "PRIORITY in a block", [head(GET, END_STREAM), priority(1), frame(CONTINUATION, END_HEADERS, 1, line("x-a", LONG))], lost(PROTOCOL))
case("4.3", "HEADERS of another stream in a block", [head(GET, END_STREAM), head(GET, stream=3)], lost(PROTOCOL))
for name, sent in [("DATA", data(b"test", flags=END_STREAM)), ("RST_STREAM", reset()), ("WINDOW_UPDATE", window(1, 100)),
                   ("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, encoded(GET)))]:
    case("5.1", f"{name} on an idle stream", [sent], lost(PROTOCOL))
more = [("DATA", data(b"test", flags=END_STREAM), [CLOSED]), ("HEADERS", head(), [CLOSED]),
        ("CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, line("x-a", LONG)), [CLOSED, PROTOCOL])]
for name, sent, codes in more:
    case("5.1", f"{name} on a stream half closed", [head(), sent], broken(*codes))
    case("5.1", f"{name} behind RST_STREAM", [open_get, reset(), sent], broken(*codes))
    case("5.1", f"{name} on a closed stream", [head(), ENDED, sent], lost(*codes))
case("5.1.1", "an even stream", [head(stream=2)], lost(PROTOCOL))
for name, sent in [("DATA", data(b"test", 2, END_STREAM)), ("RST_STREAM", reset(2)), ("WINDOW_UPDATE", window(2, 100))]:
    case("5.1.1", f"{name} on an even stream", [head(stream=5), sent], [["goaway", PROTOCOL]])
case("5.1.1", "a lower stream", [head(stream=5), head(stream=3)], lost(PROTOCOL))
case("5.1.2", "one stream too many", [settings((INITIAL_WINDOW, 0)), *(head(stream=at) for at in range(1, 259, 2))], broken(PROTOCOL, REFUSED))
case("5.3.1", "HEADERS that depend on themselves", [head(flags=WHOLE | WITH_PRIORITY, front=b"\0\0\0\1\xff")], broken(PROTOCOL))
case("5.3.1", "PRIORITY that depends on itself", [priority(1, 1)], broken(PROTOCOL))
case("5.4.1", "PING that is invalid ends the connection", [frame(PING, 0, 3, b"\0" * 8)], [GONE])
case("5.4.1", "PING that is invalid has its GOAWAY", [frame(PING, 0, 3, b"\0" * 8)], [["goaway", PROTOCOL]])
case("5.5", "an unknown frame of an extension", [frame(0xFF, 0, 1, b"\0" * 8), ping()], [PONG])
case("5.5", "an unknown frame in a block", [head(GET, END_STREAM), frame(0xFF, 0, 1, b"\0" * 8), frame(CONTINUATION, END_HEADERS, 1, line("x-a", LONG))], lost(PROTOCOL))
case("6.1", "DATA on stream 0", [data(b"test", 0, END_STREAM)], lost(PROTOCOL))
case("6.1", "DATA on a stream that is not open", [head(POST), data(b"test", flags=END_STREAM)], broken(CLOSED))
case("6.1", "DATA padded too far", [head(POST + [("content-length", "4")], END_HEADERS), frame(DATA, END_STREAM | PADDED, 1, b"\x06test")], lost(PROTOCOL))
case("6.2", "HEADERS, then PRIORITY before the end of the block", [head(GET, END_STREAM), priority(1)], lost(PROTOCOL))
case("6.2", "HEADERS, then those of another stream", [head(GET, END_STREAM), head(stream=3)], lost(PROTOCOL))
case("6.2", "HEADERS on stream 0", [head(stream=0)], lost(PROTOCOL))
case("6.2", "HEADERS padded too far", [head(flags=WHOLE | PADDED, front=b"\xff")], lost(PROTOCOL))
case("6.2", "HEADERS padded into their priority", [head(flags=WHOLE | PADDED | WITH_PRIORITY, front=bytes([len(encoded(GET)) + 2]) + b"\0\0\0\0\xff")], [["goaway", PROTOCOL]])
case("6.3", "PRIORITY on stream 0", [priority(0)], lost(PROTOCOL))
case("6.3", "PRIORITY of 4", [head(), frame(PRIORITY, 0, 1, b"\x80\0\0\1")], broken(SIZE))
case("6.4", "RST_STREAM on stream 0", [reset(0)], lost(PROTOCOL))
case("6.4", "RST_STREAM on an idle stream", [reset(1)], lost(PROTOCOL))
case("6.4", "RST_STREAM of 3", [open_get, frame(RST, 0, 1, b"\0" * 3)], lost(SIZE))
case("6.5", "answer to SETTINGS with settings", [frame(SETTINGS, ACK, 0, setting(1, 0))], lost(SIZE))
# The head says enough.
for name, sent, code in [("SETTINGS of 9", frame(SETTINGS, 0, 0, b"\0" * 9), SIZE), ("PING of 9", frame(PING, 0, 0, b"\0" * 9), SIZE),
                         ("WINDOW_UPDATE of 5", frame(WINDOW, 0, 0, b"\0" * 5), SIZE), ("RST_STREAM of 5", frame(RST, 0, 1, b"\0" * 5), SIZE),
                         ("GOAWAY of 7", frame(GOAWAY, 0, 0, b"\0" * 7), SIZE), ("PING on a stream", frame(PING, 0, 1, b"\0" * 8), PROTOCOL),
                         ("PUSH_PROMISE", frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + encoded(GET)), PROTOCOL)]:
    case("6", f"{name} that does not come whole", [sent[:-1]], [["goaway", code]])
case("6.5", "SETTINGS on stream 1", [frame(SETTINGS, 0, 1, setting(3, 100))], lost(PROTOCOL))
case("6.5", "SETTINGS of 3", [frame(SETTINGS, 0, 0, b"\0\3\0")], lost(SIZE))
case("6.5.2", "push of 2", [settings((2, 2))], lost(PROTOCOL))
case("6.5.2", "a window above the largest", [settings((INITIAL_WINDOW, 1 << 31))], lost(FLOW))
case("6.5.2", "frames below the smallest", [settings((5, 16383))], lost(PROTOCOL))
case("6.5.2", "frames above the largest", [settings((5, 1 << 24))], lost(PROTOCOL))
case("6.5.2", "an unknown setting", [settings((0xFF, 1)), ping()], [PONG])
case("6.5.3", "one setting twice", [settings((INITIAL_WINDOW, 100), (INITIAL_WINDOW, 1)), AGREED, head()], [["data", 1]])
case("6.5.3", "SETTINGS are answered", [settings((2, 0)), AGREED], [["settings"]])
case("6.7", "answer to a PING that was not made", [ping(b"invalid\0", ACK), ping(b"12345678")], [PONG])
case("6.7", "PING on stream 1", [frame(PING, 0, 1, b"\0" * 8)], lost(PROTOCOL))
case("6.7", "PING of 6", [frame(PING, 0, 0, b"\0" * 6)], lost(SIZE))
case("6.8", "GOAWAY on stream 1", [frame(GOAWAY, 0, 1, b"\0" * 8)], lost(PROTOCOL))
case("6.9", "WINDOW_UPDATE of 0", [window(0, 0)], lost(PROTOCOL))
case("6.9", "WINDOW_UPDATE of 0 for a stream", [open_get, window(1, 0)], broken(PROTOCOL))
case("6.9", "WINDOW_UPDATE of 3", [frame(WINDOW, 0, 0, b"\0\0\1")], lost(SIZE))
case("6.9.1", "a window of 1", [settings((INITIAL_WINDOW, 1)), AGREED, head()], [["data", 1]])
case("6.9.1", "the connection's window too large", [window(0, (1 << 31) - 1)] * 2, [["goaway", FLOW]])
case("6.9.1", "a stream's window too large", [open_get, *[window(1, (1 << 31) - 1)] * 2], [["rst", FLOW]])
case("6.9.2", "a window that grows by a setting", [settings((INITIAL_WINDOW, 0)), AGREED, head(), settings((INITIAL_WINDOW, 1)), AGREED], [["data", 1]])
case("6.9.2", "a window below 0", [settings((INITIAL_WINDOW, 3)), AGREED, head(), SOME, settings((INITIAL_WINDOW, 2)), AGREED, window(1, 2)], [["data", 1]])
case("6.9.2", "windows too large by a setting", [settings((INITIAL_WINDOW, (1 << 32) - 1))], lost(FLOW))
case("6.10", "CONTINUATION, then DATA", [head(POST, 0), frame(CONTINUATION, 0, 1, line("x-a", LONG)), data(b"test", flags=END_STREAM)], lost(PROTOCOL))
case("6.10", "CONTINUATION on stream 0", [head(GET, END_STREAM), frame(CONTINUATION, END_HEADERS, 0, line("x-a", LONG))], lost(PROTOCOL))
case("6.10", "CONTINUATION behind HEADERS that are whole", [open_get, frame(CONTINUATION, END_HEADERS, 1, line("x-a", LONG))], lost(PROTOCOL))
case("6.10", "CONTINUATION behind the last one", [head(GET, END_STREAM), frame(CONTINUATION, END_HEADERS, 1, line("x-a", LONG)),
     frame(CONTINUATION, END_HEADERS, 1, line("x-b", LONG))], lost(PROTOCOL))
case("6.10", "CONTINUATION behind DATA", [open_post, data(b"test"), frame(CONTINUATION, END_HEADERS, 1, line("x-a", LONG))], lost(PROTOCOL))
case("7", "GOAWAY of an unknown code", [frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xff"), ping()], [PONG, GONE])
case("7", "RST_STREAM of an unknown code", [open_get, reset(code=0xFF), ping()], [PONG, GONE])
case("8.1", "a second HEADERS without an end", [open_post, data(b"test"), head([("x-test", "ok")], END_HEADERS)], broken(PROTOCOL))
case("8.2", "a name in capitals", [head(extra=line("X-TEST", "ok"))], broken(PROTOCOL))
case("8.3", "an unknown pseudo-field", [head(GET + [(":test", "ok")])], broken(PROTOCOL))
case("8.3", "a pseudo-field of answers", [head(GET + [(":status", "200")])], broken(PROTOCOL))
case("8.3", "a pseudo-field in trailers", [open_post, data(b"test"), head([(":method", "POST")])], broken(PROTOCOL))
case("8.3", "a pseudo-field in trailers without an end", [open_post, data(b"test"), head([(":method", "POST")], END_HEADERS)], broken(PROTOCOL))
case("8.3", "pseudo-fields behind a field", [head([("x-test", "ok")] + GET)], broken(PROTOCOL))
for name, value in [("connection", "keep-alive"), ("te", "trailers, deflate")]:
    case("8.2.2", f"{name}: {value}", [head(GET + [(name, value)])], broken(PROTOCOL))
case("8.3.1", "an empty path", [head([(":path", "") if at == TARGET else at for at in GET])], broken(PROTOCOL))
for left in GET[:3]:
    case("8.3.1", f"without {left[0]}", [head([at for at in GET if at != left])], broken(PROTOCOL))
    case("8.3.1", f"{left[0]} twice", [head([left] + GET)], broken(PROTOCOL))
sized = head(POST + [("content-length", "1")], END_HEADERS)
case("8.1.1", "a length that is not that of DATA", [sized, data(b"test", flags=END_STREAM)], broken(PROTOCOL))
case("8.1.1", "a length that is not that of several DATA", [sized, data(b"test"), data(b"test", flags=END_STREAM)], broken(PROTOCOL))
case("8.4", "PUSH_PROMISE", [frame(PUSH, END_HEADERS, 1, b"\0\0\0\3" + encoded(GET))], lost(PROTOCOL))
case("7541 2.3.3", "an index beyond the tables", [head(extra=b"\xc6")], lost(COMPRESSION))
case("7541 2.3.3", "a name beyond the tables", [head(extra=b"\x7f\x11\x01a")], lost(COMPRESSION))
case("7541 4.2", "a new size of the table behind a line", [head(extra=b"\x3f\xe1\x1f")], lost(COMPRESSION))
# "test" leaves four bits of padding.
for name, value in [("a byte of padding", coded("test", b"\xff")), ("padding of zeros", coded("test", mask=0xF0)),
                    ("the end of a string written out", coded("test", b"\xff\xff\xff\xff"))]:
    case("7541 5.2", name, [head(extra=b"\0" + text("x-test") + value)], lost(COMPRESSION))
case("7541 6.1", "index 0", [head(extra=b"\x80")], lost(COMPRESSION))
case("7541 6.3", "a table larger than allowed", [head(front=b"\x3f\xe2\x1f")], lost(COMPRESSION))


class Client(Connection):
    """Says hello as libraries do, and goes on when both ends have agreed."""

    def __init__(self, address, speaks):
        super().__init__(address, b"")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if SCHEME[1] == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket)
            assert self.socket.selected_alpn_protocol() == "h2"
        self.streams = {}
        if speaks:
            self.send(PREFACE + settings((INITIAL_WINDOW, 65535)))
            first = self.event()
            assert first == ["settings"], first
            self.send(frame(SETTINGS, ACK))
            self.until(lambda event: event == ["agreed"])

    def event(self):
        """What came, in the words of what is expected."""
        try:
            came = self.frame()
        except TimeoutError:
            return ["timeout"]
        except ssl.SSLError:
            came = None
        if came is None:
            # What is no frame is no answer, whatever it says.
            return ["torn", *[self.buffer.decode("latin-1")]] if self.buffer else GONE
        kind, flags, on, payload = came
        ends = bool(flags & END_STREAM)
        if kind == GOAWAY:
            return ["goaway", int.from_bytes(payload[4:8], "big")]
        if kind == RST:
            return ["rst", int.from_bytes(payload, "big")]
        if kind == SETTINGS:
            return ["agreed" if flags & ACK else "settings"]
        if kind == PING and flags & ACK:
            return PONG
        if kind == HEADERS:
            return ["head", *["ends"] * ends]
        if kind == DATA:
            return ["data", len(payload), *["ends"] * ends]
        return ["frame", kind]

    def until(self, wanted):
        seen = []
        while not seen or not (wanted(seen[-1]) or seen[-1] in (GONE, ["timeout"]) or seen[-1][0] == "torn"):
            seen.append(self.event())
        return seen


def run(address, section, name, steps, expected):
    client = Client(address, speaks=steps[:1] != [None])
    seen = []
    for step in steps:
        if isinstance(step, bytes):
            client.send(step)
        elif step == ENDED:
            seen += client.until(lambda event: event[-1] == "ends")
        elif step == SOME:
            seen += client.until(lambda event: event[0] == "data")
        elif step == AGREED:
            seen += client.until(lambda event: event == ["agreed"])
    before = len(seen)
    if expected == [["settings"]]:
        # They came with the greeting; where more were sent, their answer was waited for.
        ok = not steps or seen[-1] == ["agreed"]
    elif expected[0][0] == "data":
        seen += client.until(lambda event: event[0] == "data")
        # What came before the last frame was sent may be it.
        ok = any(event[:2] in expected for event in seen)
    else:
        seen += client.until(lambda event: event in expected or event[:1] in expected)
        ok = any(event in expected or event[:1] in expected for event in seen[before:])
    # What a strict reader takes for an answer is the first reset, not a later one.
    if expected[0][0] == "rst":
        ok = ok and next(event for event in seen if event[0] == "rst") in expected
    client.socket.close()
    print(json.dumps({"name": f"{section}: {name}", "expected": expected, "seen": seen, "ok": ok}), flush=True)


if __name__ == "__main__":
    wanted = sys.argv[5] if len(sys.argv) > 5 else ""
    for which in cases:
        if wanted in which[1]:
            run((sys.argv[1], int(sys.argv[2])), *which)
