//! A share of the requests to each of several clusters.

use super::ClusterIx;
use crate::base::hash::HashKey;
use crate::message::key::{KeyInput, KeySource, joined};

/// Requests shared out over clusters by weight.
///
/// Weighted rendezvous (highest random weight; Thaler and Ravishankar 1998, with Schindelhauer and Schomaker's
/// weights): the part with the largest −w / ln h wins, h from the key and the part. So a change of weights moves
/// no more keys than the shares changed by, and the order of the parts makes no difference. O(parts), no
/// allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    parts: Box<[Part]>,
    key: Box<[KeySource]>,
    hash: HashKey,
}

/// One cluster's share.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    cluster: ClusterIx,
    weight: f64,
    salt: u64,
}

impl Split {
    /// A split over clusters, each with its name and weight. With an empty `key` every request is drawn anew.
    pub fn new(parts: &[(ClusterIx, &str, u32)], key: Box<[KeySource]>, hash: HashKey) -> Self {
        let part = |&(cluster, name, weight): &(ClusterIx, &str, u32)| Part {
            cluster,
            weight: f64::from(weight),
            salt: hash.hash(name.as_bytes()),
        };
        Self {
            parts: parts.iter().map(part).collect(),
            key,
            hash,
        }
    }

    /// What keeps a client on its side.
    pub fn key(&self) -> &[KeySource] {
        &self.key
    }

    /// The clusters that requests may go to.
    pub fn clusters(&self) -> impl Iterator<Item = ClusterIx> {
        let parts = self.parts.iter();
        parts
            .filter(|part| part.weight > 0.0)
            .map(|part| part.cluster)
    }

    /// The same, with their shares of one.
    pub fn shares(&self) -> impl Iterator<Item = (ClusterIx, f64)> {
        let whole: f64 = self.parts.iter().map(|part| part.weight).sum();
        let parts = self.parts.iter();
        parts.map(move |part| (part.cluster, part.weight / whole))
    }

    /// Whether the same request always goes to the same cluster.
    pub fn is_sticky(&self) -> bool {
        !self.key.is_empty()
    }

    /// The cluster of this request. One that lacks the whole key is told apart by its client's address: a
    /// cookie that is not set yet must not send all newcomers to one side.
    pub fn choose(&self, input: &KeyInput<'_>) -> Option<ClusterIx> {
        let number = match &*self.key {
            [] => fastrand::u64(..),
            key if key.iter().all(|source| source.read(input).is_none()) => {
                low(joined(self.hash, &[KeySource::ClientIp(64)], input).finish())
            }
            key => low(joined(self.hash, key, input).finish()),
        };
        let scored = self
            .parts
            .iter()
            .map(|part| (part.score(self.hash, number), part));
        let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
        best.map(|(_, part)| part.cluster)
    }
}

impl Part {
    fn score(&self, hash: HashKey, number: u64) -> f64 {
        let [a, b] = [number, self.salt].map(u64::to_le_bytes);
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(a.into_iter().chain(b)) {
            *to = from;
        }
        // 53 bits, and half a step up: h is in (0, 1), so that its logarithm is neither 0 nor infinite.
        let h = ((hash.hash(&bytes) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -self.weight / h.ln()
    }
}

/// Half of a hash is a hash.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is what is wanted"
)]
const fn low(hash: u128) -> u64 {
    hash as u64
}

#[cfg(test)]
mod tests {
    use super::super::tests::head;
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn split(weights: &[(&'static str, u32)], key: &str) -> Split {
        let parts: Vec<_> = weights
            .iter()
            .map(|&(name, weight)| (ClusterIx(u32::from(name.as_bytes()[0])), name, weight))
            .collect();
        let key = match key {
            "" => Box::default(),
            key => [KeySource::parse(key).unwrap()].into(),
        };
        Split::new(&parts, key, HashKey::from_seed("tidegate"))
    }

    fn choose(split: &Split, cart: u32) -> u32 {
        let head = head("GET", "a", "/").with_field("cookie", &format!("cart={cart}"));
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let input = KeyInput::received(&head, client, "r");
        split.choose(&input).unwrap().0
    }

    /// A share within four standard deviations.
    fn holds(found: usize, of: usize, share: f64) -> bool {
        let (n, mean) = (of as f64, of as f64 * share);
        (found as f64 - mean).abs() <= 4.0 * (n * share * (1.0 - share)).sqrt()
    }

    #[test]
    fn shares_follow_the_weights_and_a_key_keeps_its_side() {
        const N: u32 = 20_000;
        for key in ["cookie:cart", ""] {
            let split = split(&[("a", 90), ("b", 10), ("c", 0)], key);
            let chosen: Vec<_> = (0..N).map(|cart| choose(&split, cart)).collect();
            let of = |name: u8| chosen.iter().filter(|&&it| it == u32::from(name)).count();
            assert!(holds(of(b'b'), N as usize, 0.1), "{}", of(b'b'));
            assert_eq!(of(b'c'), 0);
            assert_eq!(split.clusters().count(), 2);
            if split.is_sticky() {
                let again = (0..N).map(|cart| choose(&split, cart));
                assert!(again.eq(chosen));
            }
        }
    }

    #[test]
    fn a_change_of_weights_moves_keys_one_way_only() {
        let before = split(&[("a", 95), ("b", 5)], "cookie:cart");
        let after = split(&[("b", 10), ("a", 90)], "cookie:cart");
        let moves: Vec<_> = (0..20_000)
            .map(|cart| (choose(&before, cart), choose(&after, cart)))
            .filter(|(from, to)| from != to)
            .collect();
        assert!(moves.iter().all(|&(from, _)| from == u32::from(b'a')));
        assert!(holds(moves.len(), 20_000, 0.05), "{}", moves.len());
    }

    #[test]
    fn without_the_key_the_client_decides() {
        let split = split(&[("a", 1), ("b", 1)], "cookie:cart");
        let head = head("GET", "a", "/");
        let sides = (0..=255).map(|last| {
            let client = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
            split
                .choose(&KeyInput::received(&head, client, "r"))
                .unwrap()
                .0
        });
        let first = sides
            .clone()
            .filter(|&side| side == u32::from(b'a'))
            .count();
        assert!(holds(first, 256, 0.5), "{first}");
        assert!(sides.clone().eq(sides));
    }
}
