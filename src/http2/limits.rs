//! What one connection may ask of us, and how often it may do what costs its sender nothing.

use std::time::{Duration, Instant};

pub use crate::metrics::Abuse;

/// Limits of one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Streams under way at a time; one counts until its work has really stopped.
    pub streams: u32,
    /// Bytes of a body that the other end may send before they are asked for.
    pub stream_window: u32,
    /// The same, of all streams together.
    pub connection_window: u32,
    /// What the table of compressed heads may count.
    pub header_table: u32,
    /// Frames that may go on with one header block.
    pub continuations: u32,
    /// Streams that the other end may reset in a second.
    pub resets: u32,
    /// Streams that it may reset at all, once they are more than half of those that it began.
    pub resets_total: u32,
    /// Streams that it may make us reset.
    pub faults: u32,
    /// PING in ten seconds.
    pub pings: u32,
    /// SETTINGS in ten seconds.
    pub settings: u32,
    /// PRIORITY and unknown frames in ten seconds.
    pub priorities: u32,
    /// DATA without bytes that end nothing, in ten seconds.
    pub empty_data: u32,
    /// `WINDOW_UPDATE` beyond two for each stream and for each DATA frame of ours.
    pub window_updates: u32,
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
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// Counts within a span of time that begins with its first count.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    since: Option<Instant>,
    count: u32,
}

impl Span {
    fn hit(&mut self, span: Duration, most: u32, now: Instant) -> Verdict {
        match self.since {
            Some(since) if now.saturating_duration_since(since) < span => {}
            _ => {
                self.since = Some(now);
                self.count = 0;
            }
        }
        self.count = self.count.saturating_add(1);
        if self.count > most {
            Verdict::TooMany
        } else {
            Verdict::Fine
        }
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
    window_updates: u32,
    /// Streams that the other end began.
    pub(super) streams: u32,
    /// DATA frames that we sent.
    pub(super) data: u32,
}

impl Meters {
    /// One more of what only a span of time bounds.
    pub(super) fn hit(&mut self, what: Abuse, limits: &Limits, now: Instant) -> Result<(), Abuse> {
        let verdict = match what {
            Abuse::Pings => self.pings.hit(TEN_SECONDS, limits.pings, now),
            Abuse::Settings => self.settings.hit(TEN_SECONDS, limits.settings, now),
            Abuse::Priorities => self.priorities.hit(TEN_SECONDS, limits.priorities, now),
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
                over(self.faults, limits.faults)
            }
            Abuse::WindowUpdates => {
                self.window_updates = self.window_updates.saturating_add(1);
                let earned = self.streams.saturating_add(self.data).saturating_mul(2);
                over(
                    self.window_updates,
                    limits.window_updates.saturating_add(earned),
                )
            }
            Abuse::Continuations => Verdict::TooMany,
        };
        match verdict {
            Verdict::Fine => Ok(()),
            Verdict::TooMany => Err(what),
        }
    }
}

fn over(count: u32, most: u32) -> Verdict {
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
        assert_eq!(taken(Abuse::Faults, slow, 0), 100, "over its whole life");
        assert_eq!(taken(Abuse::WindowUpdates, slow, 0), 1000);
        assert_eq!(taken(Abuse::WindowUpdates, fast, 100), 1200);
        assert_eq!(taken(Abuse::Continuations, slow, 0), 0);
    }
}
