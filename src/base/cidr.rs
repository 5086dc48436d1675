//! Sets of networks: whom to trust, whom to admit.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// A set of networks: what they cover, as ranges of addresses in order. Hundreds of thousands are asked in a handful of
/// steps, and take 8 bytes each (IPv6: 32).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CidrSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl CidrSet {
    /// A set of these networks.
    pub fn new(nets: &[IpNet]) -> Self {
        // IPv4 in IPv6 is asked for as IPv4.
        let nets: Vec<_> = nets.iter().map(plain).collect();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in IpNet::aggregate(&nets) {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        v4.sort_unstable();
        v6.sort_unstable();
        Self {
            v4: v4.into(),
            v6: v6.into(),
        }
    }

    /// Parses one entry: `10.0.0.0/8`, `::1/128` or a bare address.
    pub fn parse_entry(text: &str) -> Option<IpNet> {
        text.parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    }

    /// Whether `addr` is in one of the networks. An IPv4 address that came mapped into IPv6 is
    /// judged as IPv4, so that a dual-stack socket cannot be used to dodge a rule.
    #[inline]
    pub fn contains(&self, addr: IpAddr) -> bool {
        match canonical(addr) {
            IpAddr::V4(addr) => covers(&self.v4, addr.to_bits()),
            IpAddr::V6(addr) => covers(&self.v6, addr.to_bits()),
        }
    }

    /// Whether no network is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many ranges it has: networks that touch are one.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// Whether one of the ranges has it; they are in order and do not touch.
fn covers<T: Ord + Copy>(ranges: &[(T, T)], addr: T) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= addr);
    let last = after.checked_sub(1).and_then(|at| ranges.get(at));
    last.is_some_and(|(_, end)| addr <= *end)
}

/// A network of mapped addresses as one of IPv4.
fn plain(net: &IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return *net };
    let bits = v6.prefix_len().checked_sub(96);
    match (v6.network().to_ipv4_mapped(), bits) {
        (Some(v4), Some(bits)) => ipnet::Ipv4Net::new(v4, bits).map_or(*net, IpNet::V4),
        _ => *net,
    }
}

/// `::ffff:a.b.c.d` as `a.b.c.d`; anything else as it is.
#[inline]
pub fn canonical(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(addr, IpAddr::V4),
        IpAddr::V4(_) => addr,
    }
}

/// The network that stands for one client: an IPv4 address, or the /64 of an IPv6 address (one
/// subscriber commonly holds a whole /64, RFC 6177).
pub fn client_key(addr: IpAddr) -> IpAddr {
    match canonical(addr) {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_judged_as_ipv4() {
        let set = CidrSet::new(&[CidrSet::parse_entry("10.0.0.0/8").unwrap()]);
        assert!(set.contains("10.1.2.3".parse().unwrap()));
        assert!(set.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!set.contains("11.0.0.1".parse().unwrap()));
        assert!(!CidrSet::default().contains("10.1.2.3".parse().unwrap()));
    }

    /// The same as looking at one network after another.
    #[test]
    fn a_large_set_says_what_its_networks_say() {
        let mut chance = fastrand::Rng::with_seed(7);
        let nets: Vec<IpNet> = (0..2_000)
            .map(|at| {
                let (low, high) = (u128::from(chance.u64(..)), u128::from(chance.u64(..)));
                let net = if at % 2 == 0 {
                    let addr = std::net::Ipv4Addr::from_bits(chance.u32(..));
                    IpNet::new(addr.into(), chance.u8(8..=32))
                } else {
                    let addr = Ipv6Addr::from_bits(high << 64 | low);
                    IpNet::new(addr.into(), chance.u8(4..=128))
                };
                net.unwrap()
            })
            .collect();
        let set = CidrSet::new(&nets);
        let mut inside = 0;
        for _ in 0..5_000 {
            let net = nets[chance.usize(..nets.len())];
            let one = match net {
                IpNet::V4(net) => {
                    IpAddr::V4((net.broadcast().to_bits().wrapping_add(chance.u32(0..2))).into())
                }
                IpNet::V6(net) => IpAddr::V6(
                    (net.network()
                        .to_bits()
                        .wrapping_sub(u128::from(chance.u8(0..2))))
                    .into(),
                ),
            };
            let wanted = nets.iter().any(|net| net.contains(&one));
            assert_eq!(set.contains(one), wanted, "{one}");
            inside += usize::from(wanted);
        }
        assert!((500..4_500).contains(&inside), "both are tried: {inside}");
        let mapped = CidrSet::new(&[CidrSet::parse_entry("::ffff:10.0.0.0/104").unwrap()]);
        assert!(mapped.contains("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn an_ipv6_client_is_its_64() {
        let a: IpAddr = "2001:db8:1:2:3::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(client_key(a), client_key(b));
    }
}
