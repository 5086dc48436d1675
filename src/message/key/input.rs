//! What keys are read from.

use std::net::IpAddr;

use crate::message::claims::Claims;
use crate::message::edits::Edits;
use crate::message::head::RequestHead;

/// What a key is read from.
#[derive(Clone, Copy, Debug)]
pub struct KeyInput<'a> {
    /// The canonical head.
    pub head: &'a RequestHead,
    /// What filters have made of its fields so far: what one of them set or removed, the client has no say in.
    pub edits: Option<&'a Edits>,
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// The name of the route.
    pub route: &'a str,
    /// What was found of the client so far.
    pub claims: Option<&'a Claims>,
}

impl<'a> KeyInput<'a> {
    /// A request as it was received, of which no filter has found anything.
    pub const fn received(head: &'a RequestHead, client: IpAddr, route: &'a str) -> Self {
        Self {
            head,
            edits: None,
            client,
            route,
            claims: None,
        }
    }

    /// The first field of a name, as the filters before have left it.
    pub(super) fn field(&self, name: &[u8]) -> Option<&'a [u8]> {
        let (head, edits) = (self.head, self.edits);
        let mut fields = head.fields().iter();
        fields
            .find(|field| head.name(field).eq_ignore_ascii_case(name))
            .filter(|_| !edits.is_some_and(|edits| edits.disowns(name)))
            .map(|field| head.value(field))
            .or_else(|| edits?.values(name).next())
    }
}
