//! `bandwidth_limit`: bytes a second of bodies, of each exchange or of all with the same key together.

use std::sync::Arc;
use std::time::Duration;

use super::counts::Counts;
use super::kept::Keep;
use super::{Parts, RequestView, Verdict};
use crate::base::RouteName;
use crate::base::clock::{self, Instant};
use crate::base::hash::HashKey;
use crate::config::raw::filter as raw;
use crate::config::types::ByteSize;
use crate::config::{Code, Diagnostic, Diagnostics, Span, Spanned};
use crate::limit::{Lane, Lanes};
use crate::message::KeySource;
use crate::message::key::{self, Words};

/// Below, a piece would take minutes.
const LEAST: u64 = 1 << 10;
/// Pieces that a second is moved in, where the rate is low.
const PIECES: u64 = 8;

/// Which way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// To the client.
    Down,
    /// From the client.
    Up,
}

impl Way {
    const ALL: [Self; 2] = [Self::Down, Self::Up];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "download",
            Self::Up => "upload",
        }
    }
}

/// What the filter at one step of a route knows; outlives the configuration.
#[derive(Debug)]
pub struct Flows {
    /// The route.
    pub route: RouteName,
    lanes: Lanes,
    waits: Counts<{ Way::ALL.len() }>,
}

impl Flows {
    pub(super) fn new(route: RouteName) -> Self {
        Self {
            route,
            lanes: Lanes::default(),
            waits: Counts::default(),
        }
    }

    /// Each way with how often was waited.
    pub fn waits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.waits.by(Way::ALL.map(Way::as_str))
    }
}

/// The filter.
#[derive(Clone, Debug)]
pub struct BandwidthLimit {
    /// `None`: each exchange by itself.
    key: Option<Box<[KeySource]>>,
    rates: [Option<u64>; 2],
    after: u64,
    owner: Box<str>,
    flows: Arc<Flows>,
    hash: HashKey,
}

/// One way of one exchange.
#[derive(Debug)]
pub struct Throttle {
    way: Way,
    lane: Arc<Lane>,
    rate: u64,
    /// Bytes that are still free.
    free: u64,
    /// When its next piece may move, in nanoseconds of [`clock::stamp`].
    due: u64,
    flows: Arc<Flows>,
}

impl BandwidthLimit {
    pub(super) fn compile(
        raw: &raw::BandwidthLimit,
        span: Span,
        (name, step): (&RouteName, usize),
        parts: Parts<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let key = match &raw.key {
            None => Some(None),
            Some(raw) => key::compile(raw, Words::All, diagnostics).map(Some),
        };
        let mut rate = |raw: Option<Spanned<ByteSize>>| match raw {
            Some(rate) if rate.bytes() < LEAST => {
                let message = "a rate below 1KiB moves nothing to speak of";
                diagnostics.push(Diagnostic::error(Code::BadValue, rate.span, message));
                None
            }
            raw => Some(raw.map(|rate| rate.bytes())),
        };
        let (down, up) = (rate(raw.download), rate(raw.upload));
        let rates = [down?, up?];
        if rates == [None, None] {
            let diagnostic = Diagnostic::error(Code::MissingKey, span, "no rate is said");
            diagnostics.push(diagnostic.hint("say `download`, `upload`, or both"));
            return None;
        }
        Some(Self {
            key: key?,
            rates,
            after: raw.after.map_or(0, |after| after.bytes()),
            owner: name.as_str().into(),
            flows: parts.kept.flows(name, step),
            // Exchanges of two configurations share their lanes.
            hash: HashKey::of_process(),
        })
    }

    /// The parts of its key.
    pub(super) fn key(&self) -> &[KeySource] {
        self.key.as_deref().unwrap_or_default()
    }

    /// Lets it go on; how fast, the transfer sees to.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let now = clock::stamp(view.facts.now);
        for (way, rate) in Way::ALL.into_iter().zip(self.rates) {
            let Some(rate) = rate else { continue };
            let lane = match &self.key {
                None => Arc::default(),
                Some(key) => {
                    let input = view.key_input(&self.owner);
                    let mut hasher = key::joined(self.hash, key, &input);
                    hasher.write(way.as_str().as_bytes());
                    self.flows.lanes.enter(hasher.finish(), now)
                }
            };
            view.keep(Keep::Throttle(Throttle {
                way,
                rate,
                free: self.after,
                due: lane.due(),
                lane,
                flows: Arc::clone(&self.flows),
            }));
        }
        Verdict::Continue
    }
}

impl Throttle {
    /// Which way.
    pub fn way(&self) -> Way {
        self.way
    }

    /// How long until the next piece may move.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        if self.free > 0 {
            return None;
        }
        let now = clock::stamp(now);
        let wait = self.due.saturating_sub(now).max(self.lane.crowded(now));
        (wait > 0).then(|| Duration::from_nanos(wait))
    }

    /// A wait begins.
    pub fn waits(&self) {
        self.flows.waits.add(self.way as usize);
    }

    /// A piece has moved. One that began free is: it waited for nothing, and what nobody waits for brings a lane into debt without end.
    pub fn moved(&mut self, bytes: usize, now: Instant) {
        if self.free > 0 {
            self.free = self.free.saturating_sub(bytes as u64);
        } else {
            self.due = self.lane.moved(bytes, self.rate, clock::stamp(now));
        }
    }

    /// How large a piece should be at most, so that slow is not lumpy.
    pub fn piece(&self) -> usize {
        usize::try_from((self.rate / PIECES).max(LEAST)).unwrap_or(usize::MAX)
    }
}
