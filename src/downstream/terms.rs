//! What new flows of a udp listener get, under the configuration in effect.

use std::rc::Rc;
use std::sync::Arc;

use super::preface::{Said, Turn, of_datagram};
use crate::base::ListenerName;
use crate::endpoint::{EndpointIx, EndpointKey};
use crate::exchange::udp::home;
use crate::listener::{Found, ProxyProtocol, Serves, UdpSpec};
use crate::metrics::{Lost, SessionCells};
use crate::net::datagrams::Ends;
use crate::net::quic::Id;
use crate::route::ClusterIx;
use crate::worker::view::ListenerView;
use crate::worker::{Ids, Local, View};

pub(super) struct Terms {
    /// Positions are those in this one.
    pub(super) view: Rc<View>,
    position: usize,
    pub(super) spec: UdpSpec,
    /// What is counted of datagrams without a flow.
    pub(super) cells: Arc<SessionCells>,
    /// Most flows of this worker.
    pub(super) cap: usize,
    /// Where clients of QUIC belong that come from new addresses.
    pub(super) ids: Option<Arc<Ids>>,
}

/// Where a flow belongs before anything is picked.
pub(super) struct Home {
    pub(super) cluster: ClusterIx,
    pub(super) endpoint: EndpointIx,
    /// By what it was found.
    pub(super) id: Id,
    pub(super) key: EndpointKey,
}

impl Terms {
    /// `None`: there is no such listener any more.
    pub(super) fn new(local: &Local, view: &Rc<View>, name: &ListenerName) -> Option<Self> {
        let position = view.listener(name)?;
        let listener = view.listeners.get(position)?;
        let Serves::Udp(spec) = &listener.spec.serves else {
            return None;
        };
        let cells = spec.way.only().and_then(|ix| listener.sessions(ix));
        let process = &local.process;
        let ids = || process.ids.keep_or_make(name, Ids::default);
        process.ids.sweep();
        Some(Self {
            view: Rc::clone(view),
            position,
            spec: spec.clone(),
            cells: Arc::clone(cells.unwrap_or(&listener.unbound)),
            cap: (spec.max_flows as usize).div_ceil(process.workers.max(1)),
            ids: (spec.found == Found::ByConnectionId).then(ids),
        })
    }

    pub(super) fn listener(&self) -> Option<&ListenerView> {
        self.view.listeners.get(self.position)
    }

    /// Whether the first bytes of a datagram may be a header and not the client's.
    pub(super) fn heeds_headers(&self) -> bool {
        let listener = self.listener();
        listener.is_some_and(|it| it.spec.proxy_protocol != ProxyProtocol::Off)
    }

    /// What a header in front of a datagram says; a broken one is nobody's, and does not reach the endpoint either.
    pub(super) fn said(&self, ends: Ends, datagram: &[u8], turn: Turn) -> Result<Said, Lost> {
        let Some(listener) = self.listener() else {
            return Ok(Said::default());
        };
        of_datagram(&listener.spec, ends.peer.ip(), datagram, turn).map_err(|error| {
            listener.cells.rejected(error.reason(), error.detail());
            Lost::Refused
        })
    }

    /// The endpoint that serves the QUIC connection of a datagram from a new address, if this listener goes there still.
    pub(super) fn home(&self, datagram: &[u8]) -> Option<Home> {
        let (id, key) = self.ids.as_ref()?.find(datagram)?;
        let (position, _) = self.view.snapshot.cluster(&key.cluster)?;
        let cluster = ClusterIx(u32::try_from(position).ok()?);
        self.listener()?.sessions(cluster)?;
        let endpoint = home(self.view.clusters.get(position)?, &key)?;
        Some(Home {
            cluster,
            endpoint,
            id,
            key,
        })
    }
}
