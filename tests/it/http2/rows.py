"""What a client may get wrong in HTTP/2, row by row, over raw frames.

`rows.py HOST PORT` prints one line of JSON for each row: its name, the number of its rule, what was expected and what was
seen. Every row has a connection of its own. After all that must not end the connection a plain request follows, so that
the state of both ends is known to be the same.
"""

import json
import socket
import struct
import sys

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
(NO_ERROR, PROTOCOL, INTERNAL, FLOW, _, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, _, CALM) = range(12)
LAST = 0x3FFF_FFFF
TIMEOUT = 20


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value, bits, pattern=0):
    most = (1 << bits) - 1
    if value < most:
        return bytes([pattern | value])
    out, value = [pattern | most], value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def text(value):
    value = value.encode("latin-1") if isinstance(value, str) else value
    return number(len(value), 7) + value


def line(name, value):
    return b"\0" + text(name) + text(value)


def block(*lines):
    return b"".join(line(name, value) for name, value in lines)


METHOD, SCHEME, PATH, AUTHORITY = (":method", "GET"), (":scheme", "http"), (":path", "/refused"), (":authority", "test.example")
POST = (":method", "POST")
PLAIN = [METHOD, SCHEME, PATH, AUTHORITY]
GOOD = [METHOD, SCHEME, (":path", "/taken"), AUTHORITY]
POSTED = [POST, SCHEME, PATH, AUTHORITY]
TAKEN = [POST, SCHEME, (":path", "/taken"), AUTHORITY]
HANG = [METHOD, SCHEME, (":path", "/hang"), AUTHORITY]
HANG_POST = [POST, SCHEME, (":path", "/hang"), AUTHORITY]


def head(lines, stream=1, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, block(*lines))


def data(payload=b"", stream=1, flags=0):
    return frame(DATA, flags, stream, payload)


def setting(which, value):
    return struct.pack(">HI", which, value)


rows = []


def row(name, rule, sent, expected, stream=1, before=None, opening=None):
    rows.append((name, rule, sent, expected, stream, before, opening))


def goaway(code):
    return ["goaway", code]


def rst(code):
    return ["rst", code]


def status(code):
    return ["status", code]


IGNORED = ["ignored"]

# ── names and values ──
for byte in [*range(0x20), 0x7F]:
    if byte == 9:
        continue
    row(f"value with {byte:#04x}", "E-053", head(PLAIN + [("x-a", bytes([97, byte, 98]))]), rst(PROTOCOL))
for byte in b"\0\t\n\r !\"(),/:;<=>?@AMZ[\\]{}\x7f\x80\xff":
    name = bytes([120, byte, 97])
    expected = status(200) if byte in b"!" else rst(PROTOCOL)
    row(f"name with {byte:#04x}", "E-053", head((GOOD if byte in b"!" else PLAIN) + [(name, b"v")]), expected)
row("value with a tab", "E-053", head(GOOD + [("x-a", "a\tb")]), status(200))
row("value beyond ASCII", "E-053", head(GOOD + [("x-a", b"a\xc3\xa9b")]), status(200))
row("empty value", "E-053", head(GOOD + [("x-a", "")]), status(200))
row("empty name", "E-053", head(PLAIN + [("", "v")]), rst(PROTOCOL))
for value in [" a", "a ", "\ta", "a\t", " "]:
    row(f"value {value!r} with white space at an end", "E-053", head(PLAIN + [("x-a", value)]), rst(PROTOCOL))
for at, (name, _) in enumerate(PLAIN):
    for byte in b"\0\n\r\x7f":
        lines = list(PLAIN)
        lines[at] = (name, lines[at][1].encode() + bytes([byte]))
        row(f"{name} with {byte:#04x}", "E-053", head(lines), rst(PROTOCOL))
row("name of 257 bytes", "E-022", head(PLAIN + [("n" * 257, "v")]), status(400))
row("method of 33 bytes", "E-029", head([(":method", "M" * 33), SCHEME, PATH, AUTHORITY]), status(400))
row("name of 256 bytes", "E-022", head(GOOD + [("n" * 256, "v")]), status(200))

# ── pseudo-fields ──
for at, (name, value) in enumerate(PLAIN):
    without = PLAIN[:at] + PLAIN[at + 1 :]
    row(f"without {name}", "E-054", head(without), rst(PROTOCOL))
    row(f"{name} twice", "E-054", head(PLAIN + [(name, value)]), rst(PROTOCOL))
    row(f"{name} behind a field", "E-054", head(without + [("x-a", "b"), (name, value)]), rst(PROTOCOL))
    row(f"empty {name}", "E-054", head(PLAIN[:at] + [(name, "")] + PLAIN[at + 1 :]), rst(PROTOCOL))
    row(f"{name} in trailers", "E-054", head(POSTED, flags=END_HEADERS) + data(b"a") + head([(name, value)]), rst(PROTOCOL))
for name in [":status", ":protocol", ":unknown", ":", ":Method", ":PATH", "::path", ":host"]:
    row(f"pseudo-field {name}", "E-054", head(PLAIN + [(name, "200")]), rst(PROTOCOL))
row(":status in trailers", "E-054", head(POSTED, flags=END_HEADERS) + head([(":status", "200")]), rst(PROTOCOL))
for scheme in ["http:", "://", "1http", "ht tp", ""]:
    row(f"scheme {scheme}", "E-054", head([METHOD, (":scheme", scheme), PATH, AUTHORITY]), rst(PROTOCOL))
for scheme in ["ftp", "httpx"]:
    row(f"scheme {scheme}", "E-054", head([METHOD, (":scheme", scheme), PATH, AUTHORITY]), status(400))
row("scheme HTTP", "E-054", head([METHOD, (":scheme", "HTTP"), (":path", "/taken"), AUTHORITY]), status(200))
row("scheme https", "E-054", head([METHOD, (":scheme", "https"), (":path", "/taken"), AUTHORITY]), status(200))
row("pseudo-fields in any order", "E-054", head(list(reversed(GOOD))), status(200))
for method in ["G T", "GET/", "", "GET\t"]:
    row(f"method {method!r}", "E-029", head([(":method", method), SCHEME, PATH, AUTHORITY]), rst(PROTOCOL))
row("a method of its own", "E-029", head([(":method", "PURGE"), SCHEME, (":path", "/taken"), AUTHORITY]), status(200))

# ── targets ──
for path in ["evil", "http://evil/", "?a", "*", "a/b", "%2F"]:
    row(f"path {path}", "E-055", head([METHOD, SCHEME, (":path", path), AUTHORITY]), rst(PROTOCOL))
row("path * with OPTIONS", "E-055", head([(":method", "OPTIONS"), SCHEME, (":path", "*"), AUTHORITY]), status(200))
for path in ["/%00", "/a\\b", "/%5c", "/../x", "/%zz", "/a#b", "/a%", "/%2e%2e/x", "/a b", b"/\xff", "/..;/x"]:
    row(f"path {path}", "E-110", head([METHOD, SCHEME, (":path", path), AUTHORITY]), status(400))
row("path with a query", "E-055", head([METHOD, SCHEME, (":path", "/taken?a=b?c"), AUTHORITY]), status(200))

# ── authority ──
for authority in ["user@test.example", "a,b", "[fe80::1%25eth0]", "a b", "test.example:", "test.example:0", "test.example:65536",
                  "test.example:http", "a/b", "a?b", "a#b", "[::1", "::1", "..", "a..b", "\u00e9", "%61", "a" * 254]:
    row(f"authority {authority}", "E-057", head([METHOD, SCHEME, PATH, (":authority", authority)]), rst(PROTOCOL))
for authority in ["TEST.example", "test.example.", "test.example:80", "127.0.0.1:8080", "[::1]:80", "a_b"]:
    row(f"authority {authority}", "E-057", head([METHOD, SCHEME, (":path", "/taken"), (":authority", authority)]), status(200))
HOSTLESS = [METHOD, SCHEME, (":path", "/taken")]
row("host alone", "E-056", head(HOSTLESS + [("host", "test.example")]), status(200))
row("host that agrees", "E-056", head(GOOD + [("host", "TEST.example:80")]), status(200))
for host in ["other.example", "test.example:81", "", "test.example, other"]:
    row(f"host {host!r} that does not agree", "E-056", head(PLAIN + [("host", host)]), rst(PROTOCOL))
row("host twice", "E-056", head(PLAIN + [("host", "test.example")] * 2), rst(PROTOCOL))
row("host with user information", "E-057", head([METHOD, SCHEME, PATH, ("host", "a@test.example")]), rst(PROTOCOL))

# ── fields of one hop ──
for name, value in [("connection", "close"), ("connection", "x-a"), ("keep-alive", "timeout=5"), ("proxy-connection", "keep-alive"),
                    ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("upgrade", "websocket"), ("te", "gzip"),
                    ("te", "trailers, deflate"), ("te", "")]:
    row(f"{name}: {value}", "E-052", head(PLAIN + [(name, value)]), rst(PROTOCOL))
    row(f"{name}: {value} with a body", "E-052", head(POSTED + [(name, value)], flags=END_HEADERS), rst(PROTOCOL))
row("te: trailers", "E-052", head(GOOD + [("te", "trailers")]), status(200))
row("te in trailers", "E-052", head(POSTED, flags=END_HEADERS) + data(b"a") + head([("te", "trailers")]), rst(PROTOCOL))
row("connection in trailers", "E-052", head(POSTED, flags=END_HEADERS) + data(b"a") + head([("connection", "close")]), rst(PROTOCOL))

# ── content-length and what comes ──
for length in ["", "+1", "-1", "1 ", "0x1", "1,1", "1e0", "9" * 20, "a", "٣".encode()]:
    row(f"content-length {length!r}", "E-008", head(POSTED + [("content-length", length)], flags=END_HEADERS), rst(PROTOCOL))
row("content-length twice", "E-008", head(POSTED + [("content-length", "1")] * 2, flags=END_HEADERS), rst(PROTOCOL))


def sized(length, lines=POSTED):
    return head(lines + [("content-length", str(length))], flags=END_HEADERS)


row("5 declared, head alone", "E-050", head(POSTED + [("content-length", "5")]), rst(PROTOCOL))
row("5 declared, 3 come", "E-050", sized(5) + data(b"abc", flags=END_STREAM), rst(PROTOCOL))
row("5 declared, 7 come", "E-050", sized(5) + data(b"abcdefg", flags=END_STREAM), rst(PROTOCOL))
row("5 declared, 7 come, and more", "E-050", sized(5) + data(b"abcdefg"), rst(PROTOCOL))
row("5 declared, 3 and an empty end", "E-050", sized(5) + data(b"abc") + data(flags=END_STREAM), rst(PROTOCOL))
row("5 declared, 3 and trailers", "E-050", sized(5) + data(b"abc") + head([("etag", "x")]), rst(PROTOCOL))
row("5 declared, trailers at once", "E-050", sized(5) + head([("etag", "x")]), rst(PROTOCOL))
row("5 declared, 3 padded to 5", "E-050", sized(5) + frame(DATA, END_STREAM | PADDED, 1, b"\x02abc\0\0"), rst(PROTOCOL))
row("0 declared, 1 comes", "E-050", sized(0) + data(b"a", flags=END_STREAM), rst(PROTOCOL))
row("5 declared and 5 come", "E-050", sized(5, TAKEN) + data(b"ab") + data(b"cde", flags=END_STREAM), status(200))
row("5 declared and 5 come, padded", "E-050", sized(5, TAKEN) + frame(DATA, END_STREAM | PADDED, 1, b"\x03abcde\0\0\0"), status(200))
row("5 declared, 5 and trailers", "E-050", sized(5, TAKEN) + data(b"abcde") + head([("etag", "x")]), status(200))
row("5 declared, 5 and an empty end", "E-050", sized(5, TAKEN) + data(b"abcde") + data(flags=END_STREAM), status(200))
row("0 declared, empty end", "E-050", sized(0, TAKEN) + data(flags=END_STREAM), status(200))
row("0 declared, head alone", "E-050", head(TAKEN + [("content-length", "0")]), status(200))
row("no length, a body", "E-050", head(TAKEN, flags=END_HEADERS) + data(b"abc", flags=END_STREAM), status(200))
row("trailers", "E-073", head(TAKEN, flags=END_HEADERS) + data(b"abc") + head([("etag", "x")]), status(200))
row("trailers that do not end the stream", "E-073", head(POSTED, flags=END_HEADERS) + data(b"abc") + head([("etag", "x")], flags=END_HEADERS), rst(PROTOCOL))
row("trailers with a capital", "E-073", head(POSTED, flags=END_HEADERS) + head([("Etag", "x")]), rst(PROTOCOL))
row("17 trailers", "E-026", head(POSTED, flags=END_HEADERS) + head([("x-a", "b")] * 17), rst(PROTOCOL))

# ── what is answered ──
row("CONNECT", "E-119", head([(":method", "CONNECT"), AUTHORITY]), status(405))
row("CONNECT with a path", "E-073", head([(":method", "CONNECT"), SCHEME, PATH, AUTHORITY]), rst(PROTOCOL))
row("CONNECT without authority", "E-073", head([(":method", "CONNECT")]), rst(PROTOCOL))
row("CONNECT with a length", "E-073", head([(":method", "CONNECT"), AUTHORITY, ("content-length", "5")], flags=END_HEADERS), status(405))
row("TRACE", "E-119", head([(":method", "TRACE"), SCHEME, PATH, AUTHORITY]), status(405))
row("expect of something else", "E-033", head(PLAIN + [("expect", "a-miracle")]), status(417))
row("path of 9000 bytes", "E-059", head([METHOD, SCHEME, (":path", "/" + "a" * 9000), AUTHORITY]), status(414))
row("101 fields", "E-059", head(PLAIN + [("x-a", "b")] * 101), status(431))
row("100 fields", "E-059", head(GOOD + [("x-a", "b")] * 100), status(200))
row("a list of 33 KiB", "E-059", frame(HEADERS, END_STREAM, 1, block(*PLAIN, ("x-a", "b" * 12000)))
    + frame(CONTINUATION, 0, 1, line("x-b", "b" * 12000)) + frame(CONTINUATION, END_HEADERS, 1, line("x-c", "c" * 10000)), status(431))
row("101 crumbs", "E-058", head(PLAIN + [("cookie", "a")] * 101), status(431))
row("10 000 crumbs of one byte", "E-058", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(*PLAIN) + b"\x40" + text("cookie") + text("a=b") + b"\xbe" * 10000), status(431))
row("references to a line of 3900 bytes", "E-059", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(*PLAIN) + b"\x40" + text("x") + text("y" * 3900) + b"\xbe" * 12000), status(431))
row("5 references to a line of 3900 bytes", "E-059", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(*GOOD) + b"\x40" + text("x") + text("y" * 3900) + b"\xbe" * 5), status(200))
row("lines of the table once each, for a byte each", "E-059", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(*GOOD) + b"".join(b"\x40" + text(f"x-{at}") + text("y" * 400) for at in range(9)))
    + frame(HEADERS, END_STREAM | END_HEADERS, 3, block(*GOOD) + bytes(range(0xbe, 0xc7))), status(200), stream=3)
row("lines of the table over and over, for a byte each", "E-059", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(*GOOD) + b"\x40" + text("x") + text("y" * 3900))
    + frame(HEADERS, END_STREAM | END_HEADERS, 3, block(*PLAIN) + b"\xbe" * 4), status(431), stream=3)
row("crumbs of a cookie", "E-058", head(GOOD + [("cookie", "a=1"), ("cookie", "b=2")]), status(200))

# ── frames: where they may stand, and how long they are ──
for kind in range(10):
    stream = 0 if kind in (SETTINGS, PING, GOAWAY) else 1
    row(f"frame {kind} of 16385 bytes", "E-053", frame(kind, 0, stream, b"\0" * 16385), goaway(SIZE))
    wrong = 1 - stream
    if kind != WINDOW:
        row(f"frame {kind} on stream {wrong}", "E-073", frame(kind, END_HEADERS if kind in (HEADERS, CONTINUATION) else 0, wrong, b"\0" * 8), goaway(PROTOCOL))
    if kind not in (CONTINUATION,):
        row(f"frame {kind} in a header block", "E-063", head(PLAIN, flags=END_STREAM) + frame(kind, 0, stream, b"\0" * 8), goaway(PROTOCOL))
row("unknown frame of 16385 bytes", "E-064", frame(200, 0, 0, b"\0" * 16385), goaway(SIZE))
row("unknown frame in a header block", "E-063", head(PLAIN, flags=END_STREAM) + frame(200, 0, 1), goaway(PROTOCOL))
row("unknown frame", "E-064", frame(200, 255, 0, b"abc") + frame(99, 255, 7), IGNORED)
row("unknown flags", "E-064", frame(HEADERS, END_STREAM | END_HEADERS | 0xD2, 1, block(*GOOD)), status(200))
row("reserved bit of a stream", "E-064", frame(HEADERS, END_STREAM | END_HEADERS, 0x8000_0001, block(*GOOD)), status(200))
row("PING", "E-064", frame(PING, 0, 0, b"12345678"), IGNORED)
row("answer to a PING that was not made", "E-064", frame(PING, ACK, 0, b"12345678"), IGNORED)
for length in (0, 7, 9):
    row(f"PING of {length}", "E-073", frame(PING, 0, 0, b"\0" * length), goaway(SIZE))
for length in (1, 5, 7):
    row(f"SETTINGS of {length}", "E-073", frame(SETTINGS, 0, 0, b"\0" * length), goaway(SIZE))
row("answer to SETTINGS with settings", "E-073", frame(SETTINGS, ACK, 0, setting(1, 1)), goaway(SIZE))
for which, value, code in [(2, 2, PROTOCOL), (4, 0x8000_0000, FLOW), (4, 0xFFFF_FFFF, FLOW), (5, 16383, PROTOCOL), (5, 0x100_0000, PROTOCOL),
                           (5, 0, PROTOCOL), (8, 2, PROTOCOL)]:
    row(f"setting {which} of {value}", "E-068", frame(SETTINGS, 0, 0, setting(which, value)), goaway(code))
for which, value in [(1, 0), (1, 65536), (2, 0), (2, 1), (3, 0), (4, 0x7FFF_FFFF), (5, 16384), (5, 0xFF_FFFF), (6, 1), (8, 0), (99, 7)]:
    row(f"setting {which} of {value} is taken", "E-068", frame(SETTINGS, 0, 0, setting(which, value)), IGNORED)
for length in (0, 3, 5):
    row(f"RST_STREAM of {length}", "E-073", head(HANG) + frame(RST, 0, 1, b"\0" * length), goaway(SIZE))
row("RST_STREAM on an idle stream", "E-073", frame(RST, 0, 1, b"\0" * 4), goaway(PROTOCOL))
for length in (3, 5):
    row(f"WINDOW_UPDATE of {length}", "E-068", frame(WINDOW, 0, 0, b"\0" * length), goaway(SIZE))
row("WINDOW_UPDATE of 0", "E-068", frame(WINDOW, 0, 0, b"\0" * 4), goaway(PROTOCOL))
row("WINDOW_UPDATE of 0 for a stream", "E-068", head(HANG) + frame(WINDOW, 0, 1, b"\0" * 4), rst(PROTOCOL))
row("window of the connection too large", "E-068", frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), goaway(FLOW))
row("window of a stream too large", "E-068", head(HANG) + frame(WINDOW, 0, 1, b"\x7f\xff\xff\xff"), rst(FLOW))
row("window too large by a setting", "E-068", head(HANG) + frame(WINDOW, 0, 1, b"\x7f\xff\0\0") + frame(SETTINGS, 0, 0, setting(4, 0x7FFF_FFFF)), goaway(FLOW))
row("WINDOW_UPDATE on an idle stream", "E-068", frame(WINDOW, 0, 1, b"\0\0\0\1"), goaway(PROTOCOL))
for length in (0, 7):
    row(f"GOAWAY of {length}", "E-073", frame(GOAWAY, 0, 0, b"\0" * length), goaway(SIZE))
row("PRIORITY of 4 on an open stream", "E-064", head(HANG) + frame(PRIORITY, 0, 1, b"\0" * 4), rst(SIZE))
row("PRIORITY on itself", "E-064", head(HANG) + frame(PRIORITY, 0, 1, b"\0\0\0\1\1"), rst(PROTOCOL))
row("PRIORITY on an idle stream", "E-064", frame(PRIORITY, 0, 9, b"\0\0\0\1\1"), IGNORED)
row("HEADERS with priority on itself", "E-064", frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, b"\0\0\0\1\1" + block(*PLAIN)), rst(PROTOCOL))
row("HEADERS with priority", "E-064", frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, b"\x80\0\0\3\xff" + block(*GOOD)), status(200))
row("HEADERS with priority cut off", "E-073", frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, b"\0\0\0"), goaway(SIZE))
row("HEADERS padded", "E-073", frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\x05" + block(*GOOD) + b"\0" * 5), status(200))
row("HEADERS padded too far", "E-073", frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\xff" + block(*PLAIN)), goaway(PROTOCOL))
row("HEADERS padded and empty", "E-073", frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1), goaway(SIZE))
row("HEADERS without an end of the block, then on", "E-063", head(GOOD[:2], flags=END_STREAM) + frame(CONTINUATION, 0, 1, block(GOOD[2]))
    + frame(CONTINUATION, END_HEADERS, 1, block(GOOD[3])), status(200))
row("HEADERS empty, then on", "E-063", frame(HEADERS, END_STREAM, 1) + frame(CONTINUATION, END_HEADERS, 1, block(*GOOD)), status(200))
row("HEADERS without any line", "E-073", frame(HEADERS, END_STREAM | END_HEADERS, 1), rst(PROTOCOL))
row("CONTINUATION alone", "E-063", frame(CONTINUATION, END_HEADERS, 1, block(*PLAIN)), goaway(PROTOCOL))
row("CONTINUATION behind a whole block", "E-063", head(HANG) + frame(CONTINUATION, END_HEADERS, 1), goaway(PROTOCOL))
row("CONTINUATION of another stream", "E-063", head(PLAIN, flags=END_STREAM) + frame(CONTINUATION, END_HEADERS, 3), goaway(PROTOCOL))
row("DATA on an idle stream", "E-073", data(b"a"), goaway(PROTOCOL))
row("DATA padded too far", "E-073", head(HANG_POST, flags=END_HEADERS) + frame(DATA, PADDED, 1, b"\x05abcd"), goaway(PROTOCOL))
row("DATA of padding alone", "E-065", head(TAKEN, flags=END_HEADERS) + frame(DATA, PADDED | END_STREAM, 1, b"\x04\0\0\0\0"), status(200))
row("DATA padded and empty", "E-073", head(HANG_POST, flags=END_HEADERS) + frame(DATA, PADDED, 1), goaway(SIZE))
row("PUSH_PROMISE", "E-074", head(HANG) + frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + block(*PLAIN)), goaway(PROTOCOL))
row("even stream", "E-069", head(PLAIN, stream=2), goaway(PROTOCOL))
row("stream below another", "E-069", head(HANG, stream=5) + head(PLAIN, stream=3), goaway(PROTOCOL))
row("the last stream", "E-069", head(GOOD, stream=LAST), status(200), stream=LAST)

# ── header compression ──
for name, bad in [("index 0", b"\x80"), ("index beyond the tables", b"\xbe"), ("name beyond the tables", b"\x7e\x01a"), ("index without end", b"\xff\x80\x80\x80\x80\x80"),
                  ("string cut off", b"\x00\x05ab"), ("name cut off", b"\x00"), ("value missing", b"\x00\x01a"), ("padding of zeros", b"\x00\x01a\x81\x00"),
                  ("padding of a byte", b"\x00\x01a\x82\x1f\xff"), ("end of string written out", b"\x00\x01a\x84\xff\xff\xff\xff"),
                  ("table size behind a line", b"\x82\x20"), ("table size over ours", b"\x3f\xe2\x1f"), ("table size without end", b"\x3f\xff\xff\xff\xff\xff")]:
    row(name, "E-060", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(*PLAIN) + bad if "size over" not in name else bad), goaway(COMPRESSION))
    row(f"{name}, in trailers", "E-060", head(HANG_POST, flags=END_HEADERS) + frame(HEADERS, END_STREAM | END_HEADERS, 1, bad if "behind" in name or "over" in name else b"\x00\x01a\x01b" + bad), goaway(COMPRESSION))
row("table size in front", "E-060", frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x20\x3f\xe1\x1f" + block(*GOOD)), status(200))
row("lines by Huffman", "E-060", frame(HEADERS, END_STREAM | END_HEADERS, 1, hpack.Encoder().encode(GOOD + [("x-a", "some words")], huffman=True)), status(200))
row("a malformed head leaves the tables agreed", "E-060", frame(HEADERS, END_STREAM | END_HEADERS, 1, block(*PLAIN) + b"\x40" + text("x-kept") + text("1") + line("A", "b"))
    + frame(HEADERS, END_STREAM | END_HEADERS, 3, block(*GOOD) + b"\xbe"), status(200), stream=3)

# ── states of a stream ──
row("DATA behind the end", "E-073", head(HANG) + data(b"a"), rst(CLOSED))
row("HEADERS behind the end", "E-073", head(HANG) + head(PLAIN), rst(CLOSED))
row("DATA behind a reset", "E-073", head(HANG_POST, flags=END_HEADERS) + frame(RST, 0, 1, b"\0\0\0\x08") + data(b"a"), rst(CLOSED))
row("HEADERS behind a reset", "E-073", head(HANG_POST, flags=END_HEADERS) + frame(RST, 0, 1, b"\0\0\0\x08") + head([("etag", "x")]), rst(CLOSED))
row("WINDOW_UPDATE and RST_STREAM behind a reset", "E-073", head(HANG) + frame(RST, 0, 1, b"\0\0\0\x08") + frame(WINDOW, 0, 1, b"\0\0\0\1") + frame(RST, 0, 1, b"\0\0\0\x08"), IGNORED)
row("RST_STREAM of an unknown code", "E-061", head(HANG) + frame(RST, 0, 1, b"\xff\xff\xff\xff"), IGNORED)
row("DATA on a stream that is over", "E-073", data(b"a"), goaway(CLOSED), before="answered")
row("HEADERS on a stream that is over", "E-073", head(PLAIN), goaway(CLOSED), before="answered")
row("WINDOW_UPDATE on a stream that is over", "E-073", frame(WINDOW, 0, 1, b"\0\0\0\1"), ["alive"], before="answered")
row("PRIORITY on a stream that is over", "E-073", frame(PRIORITY, 0, 1, b"\0\0\0\3\1"), ["alive"], before="answered")
row("DATA behind a reset of ours", "E-062", head(PLAIN + [("A", "b")], flags=END_HEADERS) + data(b"a") + data(b"b", flags=END_STREAM), rst(PROTOCOL))
row("128 streams and one more", "E-061", b"".join(head(HANG, stream=at) for at in range(1, 258, 2)), rst(REFUSED), stream=257)

# ── the beginning ──
row("first a PING", "E-073", frame(PING, 0, 0, b"\0" * 8), goaway(PROTOCOL), opening=PREFACE)
row("first HEADERS", "E-073", head(PLAIN), goaway(PROTOCOL), opening=PREFACE)
row("first the answer to SETTINGS", "E-073", frame(SETTINGS, ACK, 0), goaway(PROTOCOL), opening=PREFACE)
row("first an unknown frame", "E-073", frame(99, 0, 0), goaway(PROTOCOL), opening=PREFACE)

# ── floods ──
for name, kind, sent in [
    ("PING", "pings", frame(PING, 0, 0, b"\0" * 8) * 101),
    ("SETTINGS", "settings", frame(SETTINGS, 0, 0) * 51),
    ("settings of windows, there and back", "settings", (frame(SETTINGS, 0, 0, setting(4, 0)) + frame(SETTINGS, 0, 0, setting(4, 65535))) * 26),
    ("PRIORITY", "priorities", frame(PRIORITY, 0, 9, b"\0\0\0\0\1") * 1001),
    ("unknown frames", "priorities", frame(99, 0, 0) * 1001),
    ("answers to no PING", "pings", frame(PING, ACK, 0, b"\0" * 8) * 101),
    ("answers to no SETTINGS", "settings", frame(SETTINGS, ACK, 0) * 52),
    ("GOAWAY", "priorities", head(HANG) + frame(GOAWAY, 0, 0, b"\0" * 8) * 1001),
    ("heads behind a reset of ours", "priorities", head(PLAIN + [("A", "b")]) + head([("etag", "x")], flags=END_HEADERS) * 1001),
    ("ends behind a reset of ours", "faults", head(PLAIN + [("A", "b")]) + data(flags=END_STREAM) * 102),
    ("empty DATA", "empty_data", head(HANG_POST, flags=END_HEADERS) + data() * 101),
    ("padding alone", "empty_data", head(HANG_POST, flags=END_HEADERS) + frame(DATA, PADDED, 1, b"\x01\0") * 101),
    ("WINDOW_UPDATE", "window_updates", frame(WINDOW, 0, 0, b"\0\0\0\1") * 1001),
    ("resets", "resets", b"".join(head(HANG, stream=at) + frame(RST, 0, at, b"\0\0\0\x08") for at in range(1, 203, 2))),
    ("CONTINUATION", "continuations", head(PLAIN, flags=0) + frame(CONTINUATION, 0, 1) * 17),
    ("a block of 64 KiB", "continuations", head(PLAIN, flags=0) + frame(CONTINUATION, 0, 1, line("x-a", "b" * 16000)) * 4),
    ("malformed heads", "faults", b"".join(head(PLAIN + [("A", "b")], stream=at) for at in range(1, 203, 2))),
    ("streams beyond the limit, which was never agreed to", "faults", b"".join(head(HANG, stream=at) for at in range(1, 2 * (128 + 128 + 101), 2))),
    ("windows of 0", "faults", b"".join(head(HANG, stream=at) + frame(WINDOW, 0, at, b"\0" * 4) for at in range(1, 203, 2))),
    ("windows too large", "faults", b"".join(head(HANG, stream=at) + frame(WINDOW, 0, at, b"\x7f\xff\xff\xff") for at in range(1, 203, 2))),
    ("DATA behind the end", "faults", b"".join(head(HANG, stream=at) + data(b"a", stream=at) for at in range(1, 203, 2))),
    ("PRIORITY of 4", "faults", b"".join(head(HANG, stream=at) + frame(PRIORITY, 0, at, b"\0" * 4) for at in range(1, 203, 2))),
    ("lengths that lie", "faults", b"".join(head(HANG + [("content-length", "5")], stream=at) for at in range(1, 203, 2))),
]:
    row(f"flood of {name}", "E-064" if kind not in ("faults", "resets") else "E-062", sent, goaway(CALM))


class Connection:
    def __init__(self, address, opening):
        self.socket = socket.create_connection(address, timeout=TIMEOUT)
        self.decoder = hpack.Decoder()
        self.buffer = b""
        self.socket.sendall(PREFACE + frame(SETTINGS) if opening is None else opening)

    def send(self, sent):
        try:
            self.socket.sendall(sent)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def frame(self):
        """The next frame, or None at the end of the connection."""
        while True:
            if len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + length:
                    kind, flags = self.buffer[3], self.buffer[4]
                    stream = int.from_bytes(self.buffer[5:9], "big")
                    payload, self.buffer = self.buffer[9 : 9 + length], self.buffer[9 + length :]
                    return kind, flags, stream, payload
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self.buffer += more


def look(connection, stream, until):
    """What happens on a stream until `until` does."""
    seen = []
    while True:
        try:
            came = connection.frame()
        except TimeoutError:
            return seen + [["timeout"]]
        if came is None:
            return seen + [["closed"]]
        kind, flags, on, payload = came
        if kind == GOAWAY:
            seen.append(["goaway", int.from_bytes(payload[4:8], "big")])
        elif kind == RST and on == stream:
            seen.append(["rst", int.from_bytes(payload[:4], "big")])
        elif kind == HEADERS:
            fields = dict(connection.decoder.decode(payload))
            if on == stream and ":status" in fields:
                seen.append(["status", int(fields[":status"])])
            if on == stream and flags & END_STREAM:
                seen.append(["end"])
        elif kind == DATA and on == stream and flags & END_STREAM:
            seen.append(["end"])
        elif kind == PING and flags & ACK and payload == b"end of r":
            seen.append(["pong"])
        if seen and until(seen):
            return seen


def alive(connection, stream):
    connection.send(head([METHOD, SCHEME, (":path", "/alive"), AUTHORITY], stream=stream))
    return look(connection, stream, lambda seen: seen[-1] in (["end"], ["closed"]) or seen[-1][0] in ("goaway", "rst"))


def run(address, name, rule, sent, expected, stream, before, opening):
    connection = Connection(address, opening)
    if before == "answered":
        connection.send(head([METHOD, SCHEME, (":path", "/alive"), AUTHORITY], stream=1))
        look(connection, 1, lambda seen: seen[-1] == ["end"] or seen[-1] == ["closed"])
    kind = expected[0]
    if kind == "goaway":
        connection.send(sent)
        seen = look(connection, stream, lambda seen: seen[-1] == ["closed"])
        ok = seen[-2:] == [expected, ["closed"]]
    else:
        connection.send(sent + frame(PING, 0, 0, b"end of r"))
        enough = {
            "rst": lambda seen: ["pong"] in seen and any(at[0] == "rst" for at in seen),
            "status": lambda seen: ["pong"] in seen and ["end"] in seen,
            "ignored": lambda seen: ["pong"] in seen,
            "alive": lambda seen: ["pong"] in seen,
        }[kind]
        seen = look(connection, stream, lambda seen: enough(seen) or seen[-1][0] == "goaway")
        ok = (expected in seen or kind in ("ignored", "alive")) and not any(at[0] == "goaway" for at in seen)
        if kind == "rst":
            ok = ok and not any(at[0] == "status" for at in seen)
        if kind in ("ignored", "alive"):
            ok = ok and seen == [["pong"]]
        # With all streams taken, or the last number used, no further request can be made.
        if ok and expected != rst(REFUSED) and stream != LAST:
            after = alive(connection, max(stream, 999) + 2)
            ok = after == [["status", 200], ["end"]]
            seen += after
    connection.socket.close()
    print(json.dumps({"name": name, "rule": rule, "expected": expected, "seen": seen, "ok": ok}), flush=True)


if __name__ == "__main__":
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    for which in rows:
        if wanted in which[0]:
            run((sys.argv[1], int(sys.argv[2])), *which)
