//! The numbers of a limit, and what is decided by them.

/// How is counted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// Tokens that refill.
    TokenBucket,
    /// A queue that drains.
    LeakyBucket,
    /// Windows one after the other.
    FixedWindow,
    /// Two windows, weighted.
    SlidingWindow,
    /// Every unit of the last period.
    SlidingLog,
}

impl Algorithm {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenBucket => "token_bucket",
            Self::LeakyBucket => "leaky_bucket",
            Self::FixedWindow => "fixed_window",
            Self::SlidingWindow => "sliding_window",
            Self::SlidingLog => "sliding_log",
        }
    }

    /// Whether it knows how many may come at once apart from the rate.
    pub const fn has_burst(self) -> bool {
        matches!(self, Self::TokenBucket | Self::LeakyBucket)
    }
}

/// What happens over the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Over {
    /// The request is refused.
    Reject,
    /// It waits for its turn if that comes within so many microseconds.
    Delay(u64),
    /// It goes on, and is counted.
    Shadow,
}

/// The numbers of one limit. Made by [`Rule::new`] alone: the arithmetic relies on their ranges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    algorithm: Algorithm,
    rate: u32,
    per: u64,
    burst: u32,
    over: Over,
    /// Time that one unit takes, in 2^-64 microseconds.
    interval: u128,
    /// The same of the whole burst.
    full: u128,
    /// The step of time that a sliding window sees, in microseconds.
    grain: u64,
}

/// Largest rate and burst. Fractions of a microsecond are then 2^-30 apart at least, and the error of
/// its interval, 2^-64 for each unit, cannot reach the next one in 2^34 units without a pause.
pub const MAX_RATE: u64 = 1_000_000_000;

/// Longest time that a whole burst may take to refill, in microseconds: a year.
pub const MAX_REFILL: u64 = 8760 * 3600 * 1_000_000;

/// What an IEEE 754 double can hold exactly: a script in a store knows no other numbers.
pub const EXACT: u64 = 1 << 53;

/// Why numbers are not a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RuleError {
    /// A rate of 0 or over [`MAX_RATE`].
    Rate,
    /// A period of 0.
    Period,
    /// A burst of 0 or over [`MAX_RATE`].
    Burst,
    /// A whole burst takes longer than [`MAX_REFILL`] to refill.
    Refill,
    /// Rate and period of a sliding window are too large together.
    Window,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It may go on.
    Pass,
    /// It may go on after so many microseconds; its place is taken.
    Delay(u64),
    /// It may not; the earliest time at which it could, in microseconds from now, if nobody else comes.
    Deny(u64),
}

/// A decision, and what a client may be told of its quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// What becomes of the request.
    pub outcome: Outcome,
    /// Units that could still come at once.
    pub remaining: u64,
    /// Microseconds until the quota begins anew (windows) or is whole again (buckets).
    pub reset: u64,
}

impl Rule {
    /// `rate` units in `per` microseconds, `burst` at once (buckets only).
    pub fn new(
        algorithm: Algorithm,
        rate: u64,
        per: u64,
        burst: u64,
        over: Over,
    ) -> Result<Self, RuleError> {
        let within = |number: u64| (1..=MAX_RATE).contains(&number);
        let narrow = |number: u64| u32::try_from(number).ok().filter(|_| within(number));
        let narrow_rate = narrow(rate).ok_or(RuleError::Rate)?;
        if per == 0 {
            return Err(RuleError::Period);
        }
        let burst = if algorithm.has_burst() { burst } else { rate };
        let narrow_burst = narrow(burst).ok_or(RuleError::Burst)?;
        if u128::from(burst) * u128::from(per) / u128::from(rate) > u128::from(MAX_REFILL) {
            return Err(RuleError::Refill);
        }
        let mut grain = 1;
        if algorithm == Algorithm::SlidingWindow {
            // Both halves of the estimate together stay within what a double holds.
            while u128::from(per / grain) * u128::from(rate) * 2 > u128::from(EXACT) {
                grain *= 1000;
            }
            if grain > 1 && (!per.is_multiple_of(grain) || per / grain < 1000) {
                return Err(RuleError::Window);
            }
        }
        let interval = (u128::from(per) << 64) / u128::from(rate);
        Ok(Self {
            algorithm,
            rate: narrow_rate,
            per,
            burst: narrow_burst,
            over,
            interval,
            full: interval * u128::from(burst),
            grain,
        })
    }

    /// How is counted.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Units in a period.
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// The period in microseconds.
    pub const fn per(&self) -> u64 {
        self.per
    }

    /// Units at once.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// What happens over the limit.
    pub const fn over(&self) -> Over {
        self.over
    }

    /// Longest wait in microseconds.
    pub const fn patience(&self) -> u64 {
        match self.over {
            Over::Delay(longest) => longest,
            Over::Reject | Over::Shadow => 0,
        }
    }

    /// The step of time that a sliding window sees, in microseconds.
    pub const fn grain(&self) -> u64 {
        self.grain
    }

    /// The largest cost that can ever pass.
    pub const fn capacity(&self) -> u32 {
        if self.algorithm.has_burst() {
            self.burst
        } else {
            self.rate
        }
    }

    /// The time in which as much comes back as [`capacity`](Self::capacity), in microseconds.
    pub fn window(&self) -> u64 {
        if self.algorithm.has_burst() {
            let whole = u128::from(self.burst) * u128::from(self.per) / u128::from(self.rate);
            u64::try_from(whole).unwrap_or(MAX_REFILL)
        } else {
            self.per
        }
    }

    /// Whether a script that knows doubles only can decide by it exactly.
    pub fn suits_doubles(&self) -> bool {
        if !self.algorithm.has_burst() {
            return true;
        }
        let (mut divisor, mut rest) = (u64::from(self.rate), self.per);
        while rest > 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        let (unit, drain) = (self.per / divisor, u64::from(self.rate) / divisor);
        let most = u128::from(self.burst) * u128::from(unit) * 2
            + u128::from(self.patience()) * u128::from(drain);
        most <= u128::from(EXACT)
    }

    pub(super) const fn interval(&self) -> u128 {
        self.interval
    }

    /// What all units at once take.
    pub(super) const fn full(&self) -> u128 {
        self.full
    }
}
