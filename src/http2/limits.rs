//! What one connection may ask of us, and how often it may do what costs its sender nothing.

use std::time::Duration;

use crate::base::clock::Instant;
pub use crate::metrics::Abuse;

/// Limits of one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Streams under way at a time; one counts until its work has really stopped (E-061).
    pub streams: u32,
    /// Bytes of a body that the other end may send before they are asked for.
    pub stream_window: u32,
    /// The same, of all streams together.
    pub connection_window: u32,
    /// What the table of compressed heads may count (E-060).
    pub header_table: u32,
    /// Frames that may go on with one header block (E-063).
    pub continuations: u32,
    /// Streams that the other end may reset in a second.
    pub resets: u32,
    /// Streams that it may reset at all, once they are more than half of those that it began.
    pub resets_total: u32,
    /// Streams that it may make us reset in a second, and at all once they are more than half of those that it began (E-062).
    pub faults: u32,
    /// PING in ten seconds, beyond one for each frame of a message that we sent meanwhile: clients measure the way with
    /// them as long as something comes.
    pub pings: u32,
    /// SETTINGS in ten seconds, answers that nobody asked for included (E-064).
    pub settings: u32,
    /// Frames that nothing comes of, in ten seconds: PRIORITY, unknown ones, GOAWAY, and heads on streams that we have ended; beyond
    /// one for each stream that it begins meanwhile: some say of each how urgent it is.
    pub priorities: u32,
    /// DATA without bytes that end nothing, in ten seconds (E-065).
    pub empty_data: u32,
    /// `WINDOW_UPDATE` beyond two for each stream and each DATA frame of ours, and one for each KiB in them: some clients
    /// give back what they read in pieces of 4 KiB, to the stream and to the connection.
    pub window_updates: u32,
    /// Whether CONNECT may ask for a WebSocket.
    pub websockets: WebSockets,
}

/// Whether streams may be a WebSocket each (RFC 8441; E-079).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WebSockets {
    /// They may not, and clients are not told of it.
    #[default]
    Off,
    /// They may.
    On,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 128,
            stream_window: 256 << 10,
            connection_window: 1 << 20,
            header_table: 4096,
            continuations: 16,
            resets: 100,
            resets_total: 500,
            faults: 100,
            pings: 100,
            settings: 50,
            priorities: 1000,
            empty_data: 100,
            window_updates: 1000,
            websockets: WebSockets::Off,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Bytes of ours that earn one `WINDOW_UPDATE`.
const UPDATE: u64 = 1024;

/// Streams that may be refused before our limits are known, at least.
const EARLY: u32 = 100;

/// Counts within a span of time that begins with its first count.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    since: Option<Instant>,
    count: u32,
    /// What had been earned when it began.
    earned: u32,
}

impl Span {
    fn hit(&mut self, span: Duration, most: u32, now: Instant) -> Verdict {
        self.hit_earned(span, most, 0, now)
    }

    /// The same where one more is taken for each that was earned within the span; `earned` are those of all time.
    fn hit_earned(&mut self, span: Duration, most: u32, earned: u32, now: Instant) -> Verdict {
        match self.since {
            Some(since) if now.duration_since(since) < span => {}
            _ => {
                *self = Self {
                    since: Some(now),
                    count: 0,
                    earned,
                };
            }
        }
        self.count = self.count.saturating_add(1);
        let earned = earned.saturating_sub(self.earned);
        over(self.count, most.saturating_add(earned))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Fine,
    TooMany,
}

/// The counts of one connection.
#[derive(Debug, Default)]
pub(super) struct Meters {
    resets: Span,
    pings: Span,
    settings: Span,
    priorities: Span,
    empty_data: Span,
    resets_total: u32,
    faults: u32,
    fault_rate: Span,
    window_updates: u64,
    /// Streams that the other end began.
    pub(super) streams: u32,
    /// HEADERS that we sent.
    pub(super) heads: u32,
    /// DATA frames that we sent, and the bytes in them.
    pub(super) data: u32,
    pub(super) bytes: u64,
    /// Refusals for which the other end is not to blame; those still to come, once it knows our limits.
    early: u32,
    excuses: u32,
}

impl Meters {
    /// One more of what only a span of time bounds.
    pub(super) fn hit(&mut self, what: Abuse, limits: &Limits, now: Instant) -> Result<(), Abuse> {
        let verdict = match what {
            Abuse::Pings => {
                let sent = self.heads.saturating_add(self.data);
                self.pings.hit_earned(TEN_SECONDS, limits.pings, sent, now)
            }
            Abuse::Settings => self.settings.hit(TEN_SECONDS, limits.settings, now),
            Abuse::Priorities => {
                let (most, streams) = (limits.priorities, self.streams);
                self.priorities.hit_earned(TEN_SECONDS, most, streams, now)
            }
            Abuse::EmptyData => self.empty_data.hit(TEN_SECONDS, limits.empty_data, now),
            Abuse::Resets => {
                self.resets_total = self.resets_total.saturating_add(1);
                let most_of_them = self.resets_total > self.streams / 2;
                match self.resets.hit(SECOND, limits.resets, now) {
                    Verdict::Fine if most_of_them && self.resets_total > limits.resets_total => {
                        Verdict::TooMany
                    }
                    verdict => verdict,
                }
            }
            Abuse::Faults => {
                self.faults = self.faults.saturating_add(1);
                let most_of_them = self.faults > self.streams / 2;
                match self.fault_rate.hit(SECOND, limits.faults, now) {
                    Verdict::Fine if most_of_them => over(self.faults, limits.faults),
                    verdict => verdict,
                }
            }
            Abuse::WindowUpdates => {
                self.window_updates = self.window_updates.saturating_add(1);
                let frames = u64::from(self.streams) + u64::from(self.data);
                let most = u64::from(limits.window_updates) + 2 * frames + self.bytes / UPDATE;
                over(self.window_updates, most)
            }
            Abuse::Continuations => Verdict::TooMany,
        };
        match verdict {
            Verdict::Fine => Ok(()),
            Verdict::TooMany => Err(what),
        }
    }
}

impl Meters {
    /// A stream ended by rights: until its work has stopped here too, one that takes its place is refused for no fault of
    /// the other end.
    pub(super) fn excuse(&mut self, limits: &Limits) {
        self.excuses = limits.streams.min(self.excuses + 1);
    }

    /// Whether a refusal is excused by that.
    pub(super) fn excused(&mut self) -> bool {
        let excused = self.excuses > 0;
        self.excuses = self.excuses.saturating_sub(1);
        excused
    }

    /// Whether it is because the other end cannot know our limits yet. It begins with a hundred streams or so, as it should
    /// (RFC 9113, 6.5.2), but one that never says that it has read them must not go on like that.
    pub(super) fn is_early(&mut self, limits: &Limits) -> bool {
        self.early = self.early.saturating_add(1);
        self.early <= limits.streams.max(EARLY)
    }
}

fn over<N: PartialOrd + Copy>(count: N, most: N) -> Verdict {
    if count > most {
        Verdict::TooMany
    } else {
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    /// How many of them are taken, one every `pause`.
    fn taken(what: Abuse, pause: Duration, streams: u32) -> u32 {
        let (limits, mut meters) = (Limits::default(), Meters::default());
        meters.streams = streams;
        let start = clock::now();
        (0..20_000)
            .take_while(|&at| meters.hit(what, &limits, start + pause * at).is_ok())
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn every_flood_meets_its_limit_and_what_is_usual_does_not() {
        let (fast, slow) = (Duration::from_micros(1), Duration::from_secs(1));
        let table = [
            (Abuse::Pings, 100),
            (Abuse::Settings, 50),
            (Abuse::Priorities, 1000),
            (Abuse::EmptyData, 100),
        ];
        for (what, most) in table {
            assert_eq!(taken(what, fast, 0), most, "{what:?}");
            assert_eq!(taken(what, slow, 0), 20_000, "{what:?}");
        }
        assert_eq!(taken(Abuse::Resets, fast, 0), 100);
        assert_eq!(taken(Abuse::Resets, slow, 0), 500, "all of them are reset");
        assert_eq!(taken(Abuse::Resets, slow, 40_000), 20_000, "half of them");
        assert_eq!(taken(Abuse::Faults, fast, 40_000), 100);
        assert_eq!(
            taken(Abuse::Faults, slow, 0),
            100,
            "all of them are at fault"
        );
        assert_eq!(taken(Abuse::Faults, slow, 40_000), 20_000, "half of them");
        assert_eq!(taken(Abuse::Priorities, fast, 100), 1000, "begun before");
        assert_eq!(taken(Abuse::WindowUpdates, slow, 0), 1000);
        assert_eq!(taken(Abuse::WindowUpdates, fast, 100), 1200);
        assert_eq!(taken(Abuse::Continuations, slow, 0), 0);
    }

    #[test]
    fn what_is_sent_earns_what_clients_answer_it_with() {
        let (limits, start) = (Limits::default(), clock::now());
        let mut meters = Meters::default();
        for frame in 0..10_000 {
            let now = start + Duration::from_millis(10) * frame;
            meters.data += 1;
            meters.bytes += 16 * 1024;
            assert_eq!(meters.hit(Abuse::Pings, &limits, now), Ok(()), "{frame}");
            for update in 0..16 {
                let hit = meters.hit(Abuse::WindowUpdates, &limits, now);
                assert_eq!(hit, Ok(()), "{frame} {update}");
            }
        }
        // What was earned is not kept for later.
        let later = start + Duration::from_secs(1000);
        let most = (0..1000).take_while(|_| meters.hit(Abuse::Pings, &limits, later).is_ok());
        assert_eq!(most.count(), 100);
    }

    #[test]
    fn refusals_are_excused_as_often_as_there_is_reason() {
        let limits = Limits {
            streams: 8,
            ..Limits::default()
        };
        let mut meters = Meters::default();
        assert!(!meters.excused());
        for _ in 0..20 {
            meters.excuse(&limits);
        }
        assert_eq!((0..20).take_while(|_| meters.excused()).count(), 8);
        assert_eq!(
            (0..200).take_while(|_| meters.is_early(&limits)).count(),
            100
        );
    }
}
