//! What clients may do often because we make them, and what is counted against them.

use super::slow::{LARGEST, RST_STREAM, ask, client, opened};
use crate::support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, Peer, SETTINGS, block,
};
use crate::support::{Answer, Origin, Proxy, Setup};
use std::collections::VecDeque;
use std::io::Write;

const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn errors(proxy: &Proxy, scope: &str, code: &str) -> f64 {
    let labels = [("scope", scope), ("code", code)];
    proxy.metric("tidegate_h2_errors_total", &labels)
}

fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[payload.len() - 4..].try_into().unwrap())
}

/// Clients of Go measure their way with a PING for what they read, and give windows back in pieces of 4 KiB.
#[test]
fn a_client_that_answers_what_comes_is_no_flood() {
    let origin = Origin::answering(|_| Answer::ok(vec![b'x'; 16 << 20]));
    let proxy = Setup::over(&[origin.addr()]).workers(1).start();
    let mut client = client(proxy.web, 1 << 20);
    ask(&mut client, 1, "/");
    let mut read = 0;
    loop {
        let frame = client.frame().expect("a frame");
        assert_ne!(frame.kind, GOAWAY, "{frame:?} after {read}");
        if frame.kind != DATA {
            continue;
        }
        read += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            break;
        }
        client.send(PING, 0, 0, b"measured");
        let mut left = u32::try_from(frame.payload.len()).unwrap();
        while left > 0 {
            let piece = left.min(4096);
            opened(&mut client, 0, piece);
            opened(&mut client, 1, piece);
            left -= piece;
        }
    }
    assert_eq!(read, 16 << 20);
}

fn cancel(client: &mut Peer, stream: u32) {
    client.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
}

/// A client that cancels a stream may begin another at once: that there is no room for it yet is none of its doing.
#[test]
fn a_stream_in_place_of_one_that_was_cancelled_is_no_fault() {
    let origin = Origin::answering(|_| Answer::silence());
    let proxy = Setup::over(&[origin.addr()])
        .workers(1)
        .listener("http2 = { streams = 64, faults = 1, resets = 1000000, resets_total = 1000000 }")
        .start();
    let mut client = client(proxy.web, LARGEST);
    while client.frame().expect("settings").kind != SETTINGS {}
    client.send(SETTINGS, ACK, 0, &[]);
    let (mut last, mut open) = (1, VecDeque::new());
    for _ in 0..64 {
        ask(&mut client, last, "/");
        open.push_back(last);
        last += 2;
    }
    let mut refused = 0.0;
    for _ in 0..20 {
        // In one write, so that no work can stop in between.
        let mut batch = Vec::new();
        for _ in 0..8 {
            let cancelled: u32 = open.pop_front().unwrap();
            batch.extend([0, 0, 4, RST_STREAM, 0]);
            batch.extend(cancelled.to_be_bytes());
            batch.extend(CANCEL.to_be_bytes());
            let head = block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "test.example"),
            ]);
            batch.extend(&u32::try_from(head.len()).unwrap().to_be_bytes()[1..]);
            batch.extend([HEADERS, END_STREAM | END_HEADERS]);
            batch.extend(last.to_be_bytes());
            batch.extend(head);
            open.push_back(last);
            last += 2;
        }
        client.0.write_all(&batch).unwrap();
        client.send(PING, 0, 0, b"12345678");
        let mut again = 0;
        loop {
            let frame = client.frame().expect("a frame");
            match frame.kind {
                RST_STREAM => {
                    assert_eq!(code(&frame.payload), REFUSED_STREAM);
                    open.retain(|&at| at != frame.stream);
                    again += 1;
                    refused += 1.0;
                }
                PING if frame.flags & ACK != 0 => break,
                GOAWAY => panic!("{frame:?}"),
                _ => {}
            }
        }
        for _ in 0..again {
            ask(&mut client, last, "/");
            open.push_back(last);
            last += 2;
        }
    }
    assert!(refused > 1.0, "{refused}: nothing was shown");
    assert_eq!(errors(&proxy, "stream", "refused_stream"), refused);
    // What is beyond the limit by the client's own count, it is to blame for.
    ask(&mut client, last, "/");
    ask(&mut client, last + 2, "/");
    loop {
        let frame = client.frame().expect("a frame");
        if frame.kind == GOAWAY {
            assert_eq!(code(&frame.payload), ENHANCE_YOUR_CALM);
            break;
        }
        assert_eq!(frame.kind, RST_STREAM, "{frame:?}");
    }
}

/// What ends a stream or a connection is counted, whoever found it.
#[test]
fn every_error_is_counted() {
    let origin = Origin::answering(|_| Answer::silence());
    let proxy = Setup::over(&[origin.addr()])
        .workers(1)
        .listener("http2 = { streams = 1 }\ntimeouts = { header = \"300ms\" }")
        .start();
    let mut client = client(proxy.web, LARGEST);
    ask(&mut client, 1, "/");
    ask(&mut client, 3, "/");
    cancel(&mut client, 1);
    client.send(DATA, 0, 1, b"a");
    let mut seen = 0;
    while seen < 2 {
        seen += u32::from(client.frame().expect("a frame").kind == RST_STREAM);
    }
    assert_eq!(errors(&proxy, "stream", "refused_stream"), 1.0);
    assert_eq!(errors(&proxy, "stream", "stream_closed"), 1.0);
    // A head that is never whole.
    client.send(HEADERS, END_STREAM, 5, &[]);
    while client.frame().expect("a frame").kind != GOAWAY {}
    assert_eq!(errors(&proxy, "connection", "enhance_your_calm"), 1.0);
}
