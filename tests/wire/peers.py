"""Reads one input a line (hex) and says, a line of JSON each, what llhttp and h11 make of its first request."""

import json
import sys

import h11
import httptools


class Whole(Exception):
    """The first message is complete; what follows is not looked at."""


class Listener:
    def __init__(self):
        self.target, self.fields, self.body = b"", [], b""

    def on_url(self, part):
        self.target += part

    def on_header(self, name, value):
        self.fields.append((name, value))

    def on_headers_complete(self):
        self.head = len(self.fields)

    def on_body(self, part):
        self.body += part

    def on_message_complete(self):
        raise Whole


def described(method, target, version, fields, body):
    text = lambda data: bytes(data).decode("latin-1")
    return {
        "method": text(method),
        "target": text(target),
        "version": text(version),
        "fields": [[text(name).lower(), text(value).strip(" \t")] for name, value in fields],
        "body": text(body),
    }


def llhttp(data):
    said = Listener()
    parser = httptools.HttpRequestParser(said)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserCallbackError as error:
        if not isinstance(error.__context__, Whole):
            raise
    except httptools.HttpParserError as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    else:
        return {"partial": True}
    # Trailers are given as fields too.
    fields = said.fields[: said.head]
    version = parser.get_http_version().encode()
    return described(parser.get_method(), said.target, version, fields, said.body)


def of_h11(data):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    head, body = None, b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return described(head.method, head.target, head.http_version, head.headers, body)
            elif event in (h11.NEED_DATA, h11.PAUSED):
                return {"partial": True}
            else:
                return {"refused": repr(event)}
    except h11.RemoteProtocolError as error:
        return {"refused": str(error)}


for line in sys.stdin:
    data = bytes.fromhex(line.strip())
    print(json.dumps({"llhttp": llhttp(data), "h11": of_h11(data)}))
