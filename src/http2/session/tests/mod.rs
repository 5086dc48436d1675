//! What one connection comes to, frame by frame, without a socket.

mod windows;

use super::*;
use crate::base::clock::{self, Instant};
use crate::http2::frame::{
    Block as Writing, Flags, FrameHead, HEAD, Kind, MAX_FRAME, MAX_WINDOW, PREFACE,
};
use crate::http2::streams::Ending;

/// A connection after its greeting, and a client's encoder.
struct Pair {
    session: Session<()>,
    encoder: Encoder,
    now: Instant,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let mut pair = Self {
            session: Session::new(limits, 4096),
            encoder: Encoder::default(),
            now: clock::now(),
        };
        let mut hello = PREFACE.to_vec();
        frame::settings(&[], &mut hello);
        frame::settings_ack(&mut hello);
        assert_eq!(pair.feed(&hello), Ok(vec![]));
        pair.session.out.clear();
        pair
    }

    /// All events of these bytes; heads are opened as they come.
    fn feed(&mut self, input: &[u8]) -> Result<Vec<Event>, Lost> {
        let (mut used, mut events) = (0, Vec::new());
        loop {
            let rest = &input[used..];
            let step = self.session.next(rest, self.now)?;
            used += step.used;
            let Some(event) = step.event else {
                assert_eq!(used, input.len(), "all of it is whole");
                return Ok(events);
            };
            if let Event::Head { id, end, block } = &event {
                self.session.read(block, rest, |_| {})?;
                self.session.open(*id, *end, None, ());
            }
            if let Event::Trailers { block, .. } = &event {
                self.session.read(block, rest, |_| {})?;
            }
            events.push(event);
        }
    }

    fn head(&mut self, stream: u32, fin: Flags) -> Vec<u8> {
        let mut out = Vec::new();
        let block = Writing::begin(&mut out);
        self.encoder.field(b":path", b"/", &mut out);
        block.end(stream, fin, MAX_FRAME, &mut out);
        out
    }

    /// Begins a stream; its key.
    fn begin(&mut self, stream: u32, fin: Flags) -> Key {
        let head = self.head(stream, fin);
        let events = self.feed(&head).unwrap();
        assert!(matches!(events[..], [Event::Head { id, .. }] if id == stream));
        (0..1000)
            .find(|&key| {
                self.session
                    .streams
                    .at(key)
                    .is_some_and(|at| at.id == stream)
            })
            .unwrap()
    }

    /// What is to be sent: kind, flags, stream and length of each frame.
    fn sent(&mut self) -> Vec<(Kind, u8, u32, u32)> {
        let out = std::mem::take(&mut self.session.out);
        let (mut rest, mut frames) = (&out[..], Vec::new());
        while let Some(head) = FrameHead::read(rest) {
            frames.push((head.kind, head.flags.0, head.stream, head.len));
            rest = &rest[HEAD + head.len as usize..];
        }
        assert!(rest.is_empty());
        frames
    }
}

fn set(setting: Setting, value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frame::settings(&[(setting, value)], &mut out);
    out
}

fn update(stream: u32, by: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frame::window_update(stream, by, &mut out);
    out
}

fn data(stream: u32, flags: Flags, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    frame::data(stream, flags, &vec![b'x'; len], &mut out);
    out
}

#[test]
fn what_is_sent_keeps_within_both_windows() {
    let mut pair = Pair::new(Limits::default());
    let key = pair.begin(1, Flags::END_STREAM);
    let body = vec![0; 100_000];
    assert_eq!(pair.session.send_data(key, &body, Fin::Yes), 65_535);
    let sizes: Vec<_> = pair.sent().iter().map(|at| at.3).collect();
    assert_eq!(sizes, [16_384, 16_384, 16_384, 16_383]);
    assert_eq!(pair.session.send_data(key, &body[65_535..], Fin::Yes), 0);
    // One of the two is not enough.
    assert_eq!(pair.feed(&update(1, 50_000)), Ok(vec![Event::Window]));
    assert_eq!(pair.session.send_data(key, &body[65_535..], Fin::Yes), 0);
    assert_eq!(pair.feed(&update(0, 40_000)), Ok(vec![Event::Window]));
    assert_eq!(
        pair.session.send_data(key, &body[65_535..], Fin::Yes),
        34_465
    );
    let last = *pair.sent().last().unwrap();
    assert_eq!(last, (Kind::Data, 1, 1, 34_465 - 2 * 16_384));
    assert_eq!(
        pair.session.streams.at(key).unwrap().ending,
        Some(Ending::Whole)
    );
}

#[test]
fn a_window_may_be_taken_back() {
    let mut pair = Pair::new(Limits::default());
    let key = pair.begin(1, Flags::END_STREAM);
    assert_eq!(pair.session.send_data(key, &[0; 1000], Fin::No), 1000);
    pair.feed(&set(Setting::InitialWindowSize, 500)).unwrap();
    assert_eq!(pair.session.send_data(key, &[0; 10], Fin::No), 0, "at -500");
    pair.feed(&update(1, 505)).unwrap();
    assert_eq!(pair.session.send_data(key, &[0; 10], Fin::No), 5);
    // Of the next stream it is what was said last.
    let next = pair.begin(3, Flags::END_STREAM);
    assert_eq!(pair.session.send_data(next, &[0; 1000], Fin::No), 500);
}

#[test]
fn windows_open_again_when_half_of_them_is_done_with() {
    let limits = Limits {
        stream_window: 1000,
        connection_window: 65_535,
        ..Limits::default()
    };
    let mut pair = Pair::new(limits);
    let key = pair.begin(1, Flags::NONE);
    pair.feed(&data(1, Flags::NONE, 600)).unwrap();
    pair.session.consumed(Some(key), 499);
    assert_eq!(pair.sent(), []);
    pair.session.consumed(Some(key), 1);
    assert_eq!(pair.sent(), [(Kind::WindowUpdate, 0, 1, 4)]);
    // 400 are left of the first thousand, and 500 came back.
    let last = pair.feed(&data(1, Flags::NONE, 901)).unwrap();
    assert_eq!(
        last[0],
        Event::Failed {
            key,
            code: Code::FlowControl
        }
    );
    assert_eq!(pair.sent(), [(Kind::RstStream, 0, 1, 4)]);
}

#[test]
fn after_the_last_word_nothing_is_looked_at_but_tables_agree() {
    let mut pair = Pair::new(Limits::default());
    let key = pair.begin(1, Flags::END_STREAM);
    pair.session.warn();
    pair.session.warn();
    let said: Vec<_> = pair.sent().iter().map(|at| at.0).collect();
    assert_eq!(said, [Kind::GoAway, Kind::Ping], "once");
    pair.session.leave(Code::NoError);
    pair.session.leave(Code::NoError);
    assert_eq!(pair.sent().len(), 1, "once");
    // Its field goes into the table, though nobody reads it.
    let late = pair.head(3, Flags::END_STREAM);
    assert_eq!(pair.feed(&late), Ok(vec![]));
    assert_eq!(pair.feed(&data(3, Flags::END_STREAM, 10)), Ok(vec![]));
    assert_eq!(pair.sent(), []);
    pair.session
        .send_headers(key, Fin::Yes, |encoder, out| encoder.status(200, out));
    assert_eq!(pair.sent(), [(Kind::Headers, 5, 1, 1)]);
}

#[test]
fn behind_a_last_word_that_says_what_is_wrong_nothing_follows() {
    let mut pair = Pair::new(Limits::default());
    let (first, second) = (pair.begin(1, Flags::NONE), pair.begin(3, Flags::NONE));
    pair.session.leave(Code::Protocol);
    assert_eq!(pair.sent(), [(Kind::GoAway, 0, 0, 8)]);
    pair.session
        .send_headers(first, Fin::No, |encoder, out| encoder.status(200, out));
    pair.session.send_data(first, b"late", Fin::Yes);
    pair.session.reset(second, Code::Internal);
    assert_eq!(pair.sent(), []);
}

#[test]
fn a_place_is_taken_until_the_work_has_stopped() {
    let limits = Limits {
        streams: 1,
        ..Limits::default()
    };
    let mut pair = Pair::new(limits);
    let key = pair.begin(1, Flags::END_STREAM);
    let mut cancel = Vec::new();
    frame::rst_stream(1, Code::Cancel, &mut cancel);
    assert_eq!(pair.feed(&cancel), Ok(vec![Event::Reset { key }]));
    let refused = Event::Refused {
        code: Code::RefusedStream,
    };
    let second = pair.head(3, Flags::END_STREAM);
    assert_eq!(pair.feed(&second), Ok(vec![refused]));
    assert_eq!(pair.session.close(key), Some(()));
    pair.begin(5, Flags::END_STREAM);
}

#[test]
fn a_connection_that_rests_holds_what_an_idle_one_does() {
    let mut pair = Pair::new(Limits::default());
    let idle = pair.session.weight();
    let keys: Vec<_> = (0..128)
        .map(|at| pair.begin(2 * at + 1, Flags::END_STREAM))
        .collect();
    let busy = pair.session.weight();
    for key in keys {
        pair.session
            .send_headers(key, Fin::Yes, |encoder, out| encoder.status(200, out));
        pair.session.close(key);
    }
    pair.session.out = Vec::new();
    pair.session.rest();
    let rested = pair.session.weight();
    assert!(
        busy > 8000 && rested < idle + 3000,
        "{idle} {busy} {rested}"
    );
}

/// A connection that rests while a header block is under way goes on with it where it was.
#[test]
fn a_block_that_is_not_whole_outlasts_a_rest() {
    let mut pair = Pair::new(Limits::default());
    let whole = pair.head(1, Flags::END_STREAM);
    let (begun, rest) = whole[HEAD..].split_at(2);
    let piece = |kind: u8, flags: u8, block: &[u8]| {
        let len = u32::try_from(block.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], block].concat()
    };
    let (headers, continuation) = (piece(1, 1, begun), piece(9, 4, rest));
    assert_eq!(pair.feed(&headers), Ok(vec![]));
    pair.session.rest();
    let mut used = 0;
    let mut seen = Vec::new();
    while used < continuation.len() {
        let step = pair.session.next(&continuation[used..], pair.now).unwrap();
        if let Some(Event::Head { block, .. }) = &step.event {
            let line = |line: Line<'_>| seen.push((line.name.to_vec(), line.value.to_vec()));
            let read = pair.session.read(block, &continuation[used..], line);
            assert_eq!(read, Ok(()));
        }
        used += step.used;
    }
    assert_eq!(seen, [(b":path".to_vec(), b"/".to_vec())]);
}

/// RFC 9113, 8.1: an answer may be whole before its request is, whose rest obeys the rules still.
#[test]
fn a_request_behind_its_answer_is_held_to_the_rules() {
    let answered = |limits| {
        let mut pair = Pair::new(limits);
        let key = pair.begin(1, Flags::NONE);
        pair.session
            .send_headers(key, Fin::Yes, |encoder, out| encoder.status(200, out));
        pair.sent();
        (pair, key)
    };
    let (mut pair, key) = answered(Limits::default());
    let failed = |code| Ok(vec![Event::Failed { key, code }]);
    assert_eq!(pair.feed(&update(1, 0)), failed(Code::Protocol));
    let (mut pair, _) = answered(Limits::default());
    assert_eq!(pair.feed(&update(1, MAX_WINDOW)), failed(Code::FlowControl));
    let (mut pair, _) = answered(Limits::default());
    let head = pair.head(1, Flags::NONE);
    assert_eq!(pair.feed(&head), failed(Code::Protocol));
    // Trailers make it whole on both sides; what is in them is read behind that.
    let (mut pair, key) = answered(Limits::default());
    let trailers = pair.head(1, Flags::END_STREAM);
    let events = pair.feed(&trailers).unwrap();
    assert!(matches!(events[..], [Event::Trailers { .. }]), "{events:?}");
    pair.session.fail(key, Code::Protocol, pair.now).unwrap();
    assert_eq!(pair.sent(), [(Kind::RstStream, 0, 1, 4)]);
    // Until half of its window is used it may go on, and then it is told to stop.
    let limits = Limits {
        stream_window: 1000,
        ..Limits::default()
    };
    let (mut pair, key) = answered(limits);
    for (len, frames) in [(500, vec![]), (1, vec![(Kind::RstStream, 0, 1, 4)])] {
        pair.feed(&data(1, Flags::NONE, len)).unwrap();
        pair.session.unwanted(key, len);
        assert_eq!(pair.sent(), frames);
    }
    // What was on its way means nothing; what comes behind the other end's own reset is wrong.
    assert_eq!(pair.feed(&data(1, Flags::NONE, 1)), Ok(vec![]));
    let mut reset = Vec::new();
    frame::rst_stream(1, Code::Cancel, &mut reset);
    assert_eq!(pair.feed(&reset), Ok(vec![]));
    let refused = Event::Refused {
        code: Code::StreamClosed,
    };
    assert_eq!(
        pair.feed(&data(1, Flags::NONE, 1)),
        Ok(vec![refused.clone()])
    );
    pair.session.close(key);
    assert_eq!(pair.feed(&data(1, Flags::NONE, 1)), Ok(vec![refused]));
}

/// The reset of a stream that is answered, or that we reset, crossed ours: it asks for no work.
#[test]
fn a_reset_that_crosses_the_end_is_no_abuse() {
    let limits = Limits {
        resets: 3,
        resets_total: 3,
        ..Limits::default()
    };
    let mut pair = Pair::new(limits);
    for id in (1..100).step_by(2) {
        let key = pair.begin(id, Flags::NONE);
        pair.session.reset(key, Code::NoError);
        pair.session.close(key);
        let mut reset = Vec::new();
        frame::rst_stream(id, Code::NoError, &mut reset);
        assert_eq!(pair.feed(&reset), Ok(vec![]), "{id}");
    }
    // But once.
    let mut reset = Vec::new();
    frame::rst_stream(1, Code::NoError, &mut reset);
    assert!((0..10).any(|_| pair.feed(&reset).is_err()));
}

/// So it is with one that crosses ours, whatever was on its way before it: once.
#[test]
fn a_reset_that_crosses_ours_is_no_abuse() {
    let mut pair = Pair::new(Limits {
        resets: 1,
        ..Limits::default()
    });
    let mut reset = Vec::new();
    frame::rst_stream(1, Code::Cancel, &mut reset);
    let key = pair.begin(1, Flags::NONE);
    pair.session.reset(key, Code::Cancel);
    for input in [&data(1, Flags::END_STREAM, 5), &reset, &reset] {
        assert_eq!(pair.feed(input), Ok(vec![]));
    }
    assert_eq!(pair.feed(&reset), Err(Abuse::Resets.into()));
}
