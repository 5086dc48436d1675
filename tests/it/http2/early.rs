//! Answers that are whole before their requests are (RFC 9113, 8.1).

use super::client;
use crate::support::Setup;
use crate::support::frames::{DATA, END_HEADERS, HEADERS, Peer, RST_STREAM, block};

/// Sends a head and more than half of what the stream's window takes, and no end; how the stream ends.
fn post(client: &mut Peer, stream: u32) -> (u32, u32) {
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "test.example"),
    ];
    client.send(HEADERS, END_HEADERS, stream, &block(&head));
    for _ in 0..3 {
        client.send(DATA, 0, stream, &[b'x'; 16 << 10]);
    }
    loop {
        let frame = client.frame().expect("a frame");
        if frame.kind == RST_STREAM {
            let code = frame.payload.try_into().expect("a code");
            return (frame.stream, u32::from_be_bytes(code));
        }
    }
}

/// A client that was told to stop may begin the next stream at once: the one before is over.
#[test]
fn who_is_told_to_stop_has_its_place_back() {
    let proxy = Setup::new()
        .workers(1)
        .route("all", "respond = { status = 403 }")
        .listener("http2 = { streams = 1, stream_window = \"64KiB\" }")
        .start();
    let mut client = client(proxy.web);
    for stream in (1..=41).step_by(2) {
        assert_eq!(post(&mut client, stream), (stream, 0));
    }
}
