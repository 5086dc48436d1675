//! Sets of networks: whom to trust, whom to admit.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// A set of networks, asked once for each connection.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CidrSet(Vec<IpNet>);

impl CidrSet {
    /// A set of these networks.
    pub fn new(nets: &[IpNet]) -> Self {
        Self(IpNet::aggregate(&nets.to_vec()))
    }

    /// Parses one entry: `10.0.0.0/8`, `::1/128` or a bare address.
    pub fn parse_entry(text: &str) -> Option<IpNet> {
        text.parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    }

    /// Whether `addr` is in one of the networks. An IPv4 address that came mapped into IPv6 is
    /// judged as IPv4, so that a dual-stack socket cannot be used to dodge a rule.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = canonical(addr);
        self.0.iter().any(|net| net.contains(&addr))
    }

    /// Whether no network is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `::ffff:a.b.c.d` as `a.b.c.d`; anything else as it is.
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

    #[test]
    fn an_ipv6_client_is_its_64() {
        let a: IpAddr = "2001:db8:1:2:3::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(client_key(a), client_key(b));
    }
}
