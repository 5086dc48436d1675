//! `endpoints` of a cluster.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::config::span::Spanned;

/// `endpoints`: `"IP:port"`, `"name:port"`, `"srv:name"`, `"unix:/path"`, or a table with settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// `IP:port`, `name:port` (its A and AAAA records), `srv:name` (its SRV records) or `unix:/path`.
    // It has no span of its own when it was written as a bare text: that of the endpoint is the same.
    pub address: Spanned<String>,
    /// Share of the traffic. Range: `1` to `1000`. Default: `1`.
    pub weight: Option<Spanned<u32>>,
    /// Used when no other endpoint is available: tier 1. Default: `false`.
    pub backup: Option<Spanned<bool>>,
    /// Endpoints of the lowest tier that has an available one are used. Default: `0`.
    pub tier: Option<Spanned<u8>>,
    /// The zone that it stands in. Default: none.
    pub zone: Option<Spanned<String>>,
    /// `drain`: nothing new goes to it; `disabled`: nothing at all. The admin interface may say otherwise for a while. Default: `ready`.
    pub state: Option<Spanned<State>>,
}

/// `state` of an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It serves.
    Ready,
    /// Nothing new goes to it.
    Drain,
    /// Nothing goes to it.
    Disabled,
}

/// An endpoint with settings. Range: `1` to `1000`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointTable {
    address: Spanned<String>,
    weight: Option<Spanned<u32>>,
    backup: Option<Spanned<bool>>,
    tier: Option<Spanned<u8>>,
    zone: Option<Spanned<String>>,
    state: Option<Spanned<State>>,
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Endpoint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address or a table with `address`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Endpoint, E> {
        let address = String::deserialize(StrDeserializer::new(text))?;
        Ok(Endpoint {
            address: Spanned::nowhere(address),
            weight: None,
            backup: None,
            tier: None,
            zone: None,
            state: None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Endpoint, A::Error> {
        let table = EndpointTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Endpoint {
            address: table.address,
            weight: table.weight,
            backup: table.backup,
            tier: table.tier,
            zone: table.zone,
            state: table.state,
        })
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}
