//! What decides whether a connection to an endpoint may be shared: the value that is connected from.

use crate::base::EndpointAddr;

/// Everything that goes into a connection to an endpoint. It is the only input to `connect` and the key
/// of the pool; `Eq` and `Hash` are derived, so a field that matters cannot be forgotten.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ConnectSpec {
    /// Where to.
    pub addr: EndpointAddr,
}
