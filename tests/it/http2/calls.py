"""Calls of gRPC by grpcio, which is both ends.

`calls.py serve [CERTIFICATE KEY]` prints its port and serves until its input ends; `calls.py call HOST:PORT [CA]` makes
the calls through what listens there, and prints one line of JSON for each case: its name, and what was wrong, if anything. Methods are known by
their paths and messages are bytes, so that nothing has to be generated.
"""

import json
import sys
import threading
import time
import traceback
from concurrent import futures

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
LARGE = bytes(range(256)) * (4 << 12)  # 4 MiB
UNICODE = "größer als 100 % – 日本語 \U0001f980"
PATIENCE = 60

# ── the endpoint ──

cancelled = 0
lock = threading.Lock()


def hold(context):
    """Waits until the caller is gone, and counts it."""
    gone = threading.Event()

    def over():
        global cancelled
        with lock:
            cancelled += 1
        gone.set()

    if not context.add_callback(over):
        over()
    gone.wait(PATIENCE)


def echo(request, _context):
    return request


def count(requests, _context):
    sizes = [len(request) for request in requests]
    return json.dumps(sizes).encode()


def several(request, _context):
    for size in json.loads(request):
        yield b"s" * size


def both(requests, _context):
    yield from requests


def metadata(request, context):
    told = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-")]
    context.send_initial_metadata([("x-initial", "first"), ("x-initial-bin", b"\0\xff")])
    context.set_trailing_metadata(told + [("x-behind", "last"), ("x-behind", "and more")])
    return request


def fail(request, context):
    context.set_trailing_metadata([("x-why", "so"), ("grpc-status-details-bin", b"\x08\x09")])
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, UNICODE)


def fail_late(request, context):
    yield request
    context.set_trailing_metadata([("x-why", "so")])
    context.abort(grpc.StatusCode.DATA_LOSS, UNICODE)


def slow(request, context):
    hold(context)
    return request


def silent(request, context):
    yield request
    hold(context)


def lost(_request, _context):
    with lock:
        return str(cancelled).encode()


def early(_requests, context):
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


METHODS = {
    "/test.Calls/Echo": grpc.unary_unary_rpc_method_handler(echo),
    "/test.Calls/Count": grpc.stream_unary_rpc_method_handler(count),
    "/test.Calls/Several": grpc.unary_stream_rpc_method_handler(several),
    "/test.Calls/Both": grpc.stream_stream_rpc_method_handler(both),
    "/test.Calls/Metadata": grpc.unary_unary_rpc_method_handler(metadata),
    "/test.Calls/Fail": grpc.unary_unary_rpc_method_handler(fail),
    "/test.Calls/FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "/test.Calls/Slow": grpc.unary_unary_rpc_method_handler(slow),
    "/test.Calls/Silent": grpc.unary_stream_rpc_method_handler(silent),
    "/test.Calls/Lost": grpc.unary_unary_rpc_method_handler(lost),
    "/test.Calls/Early": grpc.stream_unary_rpc_method_handler(early),
    "/test.Small/Echo": grpc.unary_unary_rpc_method_handler(echo),
}


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return METHODS.get(details.method)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def serve(files):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), [Handler()], options=OPTIONS)
    if files:
        certificate, key = map(read, files)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None)


# ── the caller ──

cases = []


def case(function):
    cases.append(function)
    return function


def same(got, expected):
    assert got == expected, f"{got!r:.300} is not {expected!r:.300}"


def failed(made):
    """What a call failed with."""
    try:
        made()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it did not fail")


def unary(channel, method, request, **more):
    return channel.unary_unary(method)(request, timeout=PATIENCE, **more)


def is_lost(channel, before):
    until = time.monotonic() + PATIENCE
    while int(unary(channel, "/test.Calls/Lost", b"")) <= before:
        assert time.monotonic() < until, "the endpoint was not told"
        time.sleep(0.02)


def losses(channel):
    return int(unary(channel, "/test.Calls/Lost", b""))


@case
def empty(channel):
    same(unary(channel, "/test.Calls/Echo", b""), b"")


@case
def one_message(channel):
    same(unary(channel, "/test.Calls/Echo", b"hello"), b"hello")


@case
def large_both_ways(channel):
    same(unary(channel, "/test.Calls/Echo", LARGE), LARGE)


@case
def large_by_fours(channel):
    calls = [channel.unary_unary("/test.Calls/Echo").future(LARGE, timeout=PATIENCE) for _ in range(4)]
    for call in calls:
        same(call.result(), LARGE)


@case
def compressed(channel):
    same(unary(channel, "/test.Calls/Echo", LARGE, compression=grpc.Compression.Gzip), LARGE)


@case
def many_at_once(channel):
    calls = [channel.unary_unary("/test.Calls/Echo").future(b"%d" % n, timeout=PATIENCE) for n in range(200)]
    same([call.result() for call in calls], [b"%d" % n for n in range(200)])


@case
def one_after_the_other(channel):
    for n in range(100):
        same(unary(channel, "/test.Calls/Echo", b"%d" % n), b"%d" % n)


@case
def client_streams(channel):
    sizes = [27182, 8, 1828, 45904, 0]
    got = channel.stream_unary("/test.Calls/Count")(iter([b"c" * size for size in sizes]), timeout=PATIENCE)
    same(json.loads(got), sizes)


@case
def client_streams_nothing(channel):
    same(channel.stream_unary("/test.Calls/Count")(iter([]), timeout=PATIENCE), b"[]")


@case
def server_streams(channel):
    sizes = [31415, 9, 2653, 58979, 0, 1 << 20]
    got = channel.unary_stream("/test.Calls/Several")(json.dumps(sizes).encode(), timeout=PATIENCE)
    same([len(message) for message in got], sizes)


@case
def server_streams_nothing(channel):
    same(list(channel.unary_stream("/test.Calls/Several")(b"[]", timeout=PATIENCE)), [])


@case
def both_stream_by_turns(channel):
    """The next message is sent when the one before is back: nothing may be held until more comes."""
    turn = threading.Semaphore(1)
    messages = [b"x" * size for size in [27182, 8, 0, 1828, 45904, 1 << 20]]

    def sent():
        for message in messages:
            turn.acquire()
            yield message

    got = []
    for message in channel.stream_stream("/test.Calls/Both")(sent(), timeout=PATIENCE):
        got.append(message)
        turn.release()
    same([len(message) for message in got], [len(message) for message in messages])


@case
def both_stream_at_once(channel):
    messages = [LARGE[: 1 << 16]] * 100
    got = list(channel.stream_stream("/test.Calls/Both")(iter(messages), timeout=PATIENCE))
    same(got == messages, True)


@case
def both_stream_nothing(channel):
    same(list(channel.stream_stream("/test.Calls/Both")(iter([]), timeout=PATIENCE)), [])


@case
def metadata_passes(channel):
    sent = [("x-custom", "value"), ("x-custom", "another"), ("x-custom-bin", b"\0\x01\xfe\xff"), ("x-empty", "")]
    got, call = channel.unary_unary("/test.Calls/Metadata").with_call(b"m", metadata=sent, timeout=PATIENCE)
    same(got, b"m")
    initial = [pair for pair in call.initial_metadata() if pair[0].startswith("x-initial")]
    same([tuple(pair) for pair in initial], [("x-initial", "first"), ("x-initial-bin", b"\0\xff")])
    behind = [tuple(pair) for pair in call.trailing_metadata() if pair[0] != "x-request-id"]
    for pair in sent + [("x-behind", "last"), ("x-behind", "and more")]:
        assert pair in behind, f"{pair} is not in {behind}"


@case
def fails_without_a_body(channel):
    error = failed(lambda: unary(channel, "/test.Calls/Fail", b""))
    same(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
    same(error.details(), UNICODE)
    told = [tuple(pair) for pair in error.trailing_metadata()]
    assert ("x-why", "so") in told and ("grpc-status-details-bin", b"\x08\x09") in told, told


@case
def fails_behind_messages(channel):
    stream = channel.unary_stream("/test.Calls/FailLate")(b"one", timeout=PATIENCE)
    same(next(stream), b"one")
    error = failed(lambda: next(stream))
    same(error.code(), grpc.StatusCode.DATA_LOSS)
    same(error.details(), UNICODE)
    assert ("x-why", "so") in [tuple(pair) for pair in error.trailing_metadata()]


@case
def fails_before_all_is_sent(channel):
    def sent():
        for _ in range(1000):
            yield LARGE[: 1 << 16]

    error = failed(lambda: channel.stream_unary("/test.Calls/Early")(sent(), timeout=PATIENCE))
    same((error.code(), error.details()), (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough"))


@case
def method_is_not_there(channel):
    error = failed(lambda: unary(channel, "/test.Calls/None", b""))
    same(error.code(), grpc.StatusCode.UNIMPLEMENTED)


@case
def deadline_passes(channel):
    before = losses(channel)
    error = failed(lambda: channel.unary_unary("/test.Calls/Slow")(b"", timeout=0.5))
    same(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    is_lost(channel, before)


@case
def deadline_passes_in_a_stream(channel):
    before = losses(channel)
    stream = channel.unary_stream("/test.Calls/Silent")(b"first", timeout=2)
    same(next(stream), b"first")
    same(failed(lambda: next(stream)).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    is_lost(channel, before)


@case
def caller_cancels_before_the_answer(channel):
    before = losses(channel)
    call = channel.unary_unary("/test.Calls/Slow").future(b"", timeout=PATIENCE)
    # A call that has not begun is cancelled here alone.
    time.sleep(0.3)
    call.cancel()
    assert call.cancelled()
    is_lost(channel, before)


@case
def caller_cancels_a_stream(channel):
    before = losses(channel)
    stream = channel.unary_stream("/test.Calls/Silent")(b"first", timeout=PATIENCE)
    same(next(stream), b"first")
    stream.cancel()
    same(failed(lambda: next(stream)).code(), grpc.StatusCode.CANCELLED)
    is_lost(channel, before)


@case
def endpoint_is_down(channel):
    error = failed(lambda: unary(channel, "/test.Gone/Echo", b"hello"))
    same(error.code(), grpc.StatusCode.UNAVAILABLE)
    assert "connect_refused" in error.details(), error.details()


@case
def there_is_no_route(channel):
    error = failed(lambda: unary(channel, "/test.Nowhere/Echo", b"hello"))
    same(error.code(), grpc.StatusCode.UNIMPLEMENTED)
    assert "no_route" in error.details(), error.details()


@case
def message_is_too_large_for_us(channel):
    error = failed(lambda: unary(channel, "/test.Small/Echo", LARGE))
    same(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert "body_too_large" in error.details(), error.details()


def connect(address, files):
    if files:
        credentials = grpc.ssl_channel_credentials(read(files[0]))
        return grpc.secure_channel(address, credentials, options=OPTIONS)
    return grpc.insecure_channel(address, options=OPTIONS)


def call(address, files):
    with connect(address, files) as channel:
        for function in cases:
            wrong = None
            try:
                function(channel)
            except Exception:
                wrong = traceback.format_exc()
            print(json.dumps({"case": function.__name__, "wrong": wrong}), flush=True)


if sys.argv[1] == "serve":
    serve(sys.argv[2:])
else:
    call(sys.argv[2], sys.argv[3:])
