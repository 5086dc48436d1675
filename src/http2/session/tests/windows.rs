//! Windows: the connection's, and those of all streams.

use super::*;

/// What waits unread may be more than half of the connection's window: whoever is read goes on (E-072).
#[test]
fn the_connections_window_opens_though_most_of_it_waits_unread() {
    let limits = Limits {
        stream_window: 60_000,
        connection_window: 100_000,
        ..Limits::default()
    };
    let mut pair = Pair::new(limits);
    pair.begin(1, Flags::NONE);
    let key = pair.begin(3, Flags::NONE);
    for _ in 0..6 {
        pair.feed(&data(1, Flags::NONE, 10_000)).unwrap();
    }
    assert!(!pair.session.is_shut());
    for (len, shut, frames) in [
        (10_000, false, vec![]),
        (10_000, false, vec![(Kind::WindowUpdate, 0, 0, 4)]),
        (14_000, false, vec![]),
        // Less than a frame is left.
        (14_000, true, vec![(Kind::WindowUpdate, 0, 0, 4)]),
    ] {
        pair.feed(&data(3, Flags::NONE, len)).unwrap();
        assert_eq!(pair.session.is_shut(), shut);
        pair.session.consumed(Some(key), len);
        let sent: Vec<_> = pair.sent().into_iter().filter(|at| at.2 == 0).collect();
        assert_eq!(sent, frames);
    }
    assert!(!pair.session.is_shut());
    assert_eq!(pair.session.openings, 1);
}

/// Of several values in one frame the last holds, and none may be too large on the way.
#[test]
fn a_frame_of_settings_is_one_change() {
    let window = |values: &[u32]| {
        let settings: Vec<_> = values
            .iter()
            .map(|&value| (Setting::InitialWindowSize, value))
            .collect();
        let mut out = Vec::new();
        frame::settings(&settings, &mut out);
        out
    };
    let mut pair = Pair::new(Limits::default());
    let key = pair.begin(1, Flags::NONE);
    pair.feed(&window(&[0, 100_000, 70_000])).unwrap();
    assert_eq!(pair.session.streams.at(key).unwrap().send, 70_000);
    let mut update = Vec::new();
    frame::window_update(1, 1, &mut update);
    pair.feed(&update).unwrap();
    assert!(pair.feed(&window(&[MAX_WINDOW, 10])).is_err());
}

/// A stream that is over has no window that could become too large: what was wrong with it was told on the stream.
#[test]
fn a_setting_asks_nothing_of_streams_that_are_over() {
    let mut pair = Pair::new(Limits::default());
    let key = pair.begin(1, Flags::NONE);
    let code = Code::FlowControl;
    let failed = pair.feed(&update(1, MAX_WINDOW));
    assert_eq!(failed, Ok(vec![Event::Failed { key, code }]));
    let same = set(Setting::InitialWindowSize, DEFAULT_WINDOW);
    assert_eq!(pair.feed(&same), Ok(vec![Event::Window]));
}
