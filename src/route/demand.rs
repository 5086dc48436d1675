//! What a route asks of a request beside listener, host, path and method.

use std::net::IpAddr;

use regex::bytes::Regex;

use super::RouteInput;
use super::host::HostPattern;
use crate::base::cidr::CidrSet;
use crate::message::RequestHead;
use crate::message::key::{KeyInput, KeySource};

/// What a value must be.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// These bytes.
    Exactly(Box<[u8]>),
    /// Something that this expression matches from end to end.
    Like(Regex),
}

impl Wanted {
    fn is_met_by(&self, value: &[u8]) -> bool {
        match self {
            Self::Exactly(wanted) => **wanted == *value,
            Self::Like(regex) => regex.is_match(value),
        }
    }
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(a), Self::Exactly(b)) => a == b,
            (Self::Like(a), Self::Like(b)) => a.as_str() == b.as_str(),
            (Self::Exactly(_) | Self::Like(_), _) => false,
        }
    }
}

/// A condition on a header field: one field of the name must have the value.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldDemand {
    /// The name; its case makes no difference.
    pub name: Box<[u8]>,
    /// The value.
    pub wanted: Wanted,
}

/// A condition on a query parameter or a cookie: the first of the name must have the value.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueDemand {
    /// Where the value stands.
    pub source: KeySource,
    /// What it means, decoded.
    pub value: Box<[u8]>,
}

/// All of them; every one must be met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demands {
    /// Of header fields.
    pub fields: Vec<FieldDemand>,
    /// Of query and cookies.
    pub values: Vec<ValueDemand>,
    /// Of the client's address.
    pub clients: Option<CidrSet>,
    /// Of the server name of its handshake.
    pub names: Option<Box<[HostPattern]>>,
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub(super) enum Evidence<'a> {
    /// A request.
    Request(&'a RequestHead, IpAddr, Option<&'a [u8]>),
    /// Every request that fulfils these demands, and of which nothing else is known.
    Only(&'a Demands),
}

impl<'a> Evidence<'a> {
    /// What a request shows.
    pub(super) fn of(input: &RouteInput<'a>) -> Self {
        Self::Request(input.head, input.client, input.server_name)
    }
}

impl Demands {
    /// Whether nothing is asked.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
            && self.values.is_empty()
            && self.clients.is_none()
            && self.names.is_none()
    }

    /// How much is asked, as far as it decides who wins: conditions on fields, then all others.
    pub(super) fn weight(&self) -> (usize, usize) {
        let others = self.values.len()
            + usize::from(self.clients.is_some())
            + usize::from(self.names.is_some());
        (self.fields.len(), others)
    }

    /// Whether everything asked for is there.
    pub(super) fn are_met(&self, evidence: Evidence<'_>) -> bool {
        match evidence {
            Evidence::Request(head, client, name) => {
                self.are_met_by(head, client) && self.is_named(name)
            }
            Evidence::Only(known) => self.follow_from(known),
        }
    }

    fn are_met_by(&self, head: &RequestHead, client: IpAddr) -> bool {
        let field = |demand: &FieldDemand| {
            let mut values = head.values(&demand.name);
            values.any(|value| demand.wanted.is_met_by(value))
        };
        let input = KeyInput::received(head, client, "");
        let value = |demand: &ValueDemand| {
            let found = demand.source.read(&input);
            found.is_some_and(|found| found.means(&demand.value))
        };
        self.clients.as_ref().is_none_or(|set| set.contains(client))
            && self.fields.iter().all(field)
            && self.values.iter().all(value)
    }

    /// A connection without a name, or without TLS, is named by nobody.
    fn is_named(&self, name: Option<&[u8]>) -> bool {
        self.names.as_ref().is_none_or(|names| {
            name.is_some_and(|name| names.iter().any(|pattern| pattern.holds(name)))
        })
    }

    fn follow_from(&self, known: &Self) -> bool {
        self.fields
            .iter()
            .all(|demand| known.fields.contains(demand))
            && self
                .values
                .iter()
                .all(|demand| known.values.contains(demand))
            && (self.clients.is_none() || self.clients == known.clients)
            && (self.names.is_none() || self.names == known.names)
    }
}
