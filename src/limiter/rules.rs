//! The numbers of a limiter: one rule for all, and others for some.

use crate::base::CidrSet;
use crate::base::LimiterName;
use crate::limit::Rule;
use crate::message::Begun;
use crate::message::key::{KeyInput, KeySource};

/// A rule, and how clients are told of it.
#[derive(Clone, Debug)]
pub struct Tier {
    /// Its numbers.
    pub rule: Rule,
    /// The field `RateLimit-Policy`, and `RateLimit` up to what is left.
    pub told: Begun,
}

/// Who is of a tier.
#[derive(Clone, Debug)]
pub enum Member {
    /// Requests with this field of this value.
    Field(KeySource, Box<[u8]>),
    /// Requests whose key begins with this value.
    Key(Box<[u8]>),
    /// Clients of these networks.
    Networks(CidrSet),
}

/// All rules of a limiter.
#[derive(Clone, Debug)]
pub struct Rules {
    /// For who is of no tier.
    pub base: Tier,
    /// The first that a request is of counts.
    pub tiers: Box<[(Member, Tier)]>,
}

impl Tier {
    /// A rule under the name of its limiter.
    pub fn new(name: &LimiterName, rule: Rule) -> Self {
        // A structured field: names of limiters have no character that a string would have to escape.
        let mut policy = format!("\"{name}\";q={}", rule.capacity());
        let window = rule.window();
        // The draft has whole seconds only.
        if window >= 1_000_000 {
            policy.push_str(";w=");
            policy.push_str(&window.div_ceil(1_000_000).to_string());
        }
        let policy = [(b"ratelimit-policy".as_slice(), policy.as_bytes())];
        let left = format!("\"{name}\";r=");
        Self {
            told: Begun::new(policy, b"ratelimit", left.as_bytes()),
            rule,
        }
    }
}

impl Rules {
    /// The place of the rule for a request; 0 is that of no tier.
    #[inline]
    pub fn find(&self, key: &[KeySource], input: &KeyInput<'_>) -> u32 {
        let places = (1..).zip(&self.tiers);
        for (place, (member, _)) in places {
            if member.holds(key, input) {
                return place;
            }
        }
        0
    }

    /// The rule at a place.
    #[inline]
    pub fn at(&self, place: u32) -> &Tier {
        let tier = (place as usize).checked_sub(1);
        let tier = tier.and_then(|at| self.tiers.get(at));
        tier.map_or(&self.base, |(_, tier)| tier)
    }

    /// What tiers look at beside the key.
    pub(super) fn fields(&self) -> impl Iterator<Item = &KeySource> {
        self.tiers.iter().filter_map(|(member, _)| match member {
            Member::Field(source, _) => Some(source),
            Member::Key(_) | Member::Networks(_) => None,
        })
    }

    /// Every rule, that of no tier first.
    pub fn all(&self) -> impl Iterator<Item = &Tier> {
        std::iter::once(&self.base).chain(self.tiers.iter().map(|(_, tier)| tier))
    }
}

impl Member {
    fn holds(&self, key: &[KeySource], input: &KeyInput<'_>) -> bool {
        let is = |source: &KeySource, wanted: &[u8]| {
            let found = source.read(input);
            found.is_some_and(|found| found.means(wanted))
        };
        match self {
            Self::Field(source, wanted) => is(source, wanted),
            Self::Key(wanted) => key.first().is_some_and(|source| is(source, wanted)),
            Self::Networks(networks) => networks.contains(input.client),
        }
    }
}
