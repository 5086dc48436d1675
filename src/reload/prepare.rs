//! Prepare: everything that can still fail of a compiled configuration.

use std::fmt;
use std::io;

use super::sockets::{Claim, Open, Sockets, Wanted};
use super::{Plan, Serving};
use crate::base::{ClusterName, ListenAddr, ListenerName};
use crate::net;
use crate::net::bind::{Group, Opened, Ready, Transport};
use crate::net::unix::{Access, Grants, Unplaced};
use crate::record::{Output, Sink};
use crate::worker::Listening;

/// Why a right configuration could not take effect.
#[derive(Debug)]
pub enum Unready {
    /// An address cannot be listened on.
    Bind {
        /// Which.
        addr: ListenAddr,
        /// For what.
        transport: Transport,
        /// For which listener.
        listener: ListenerName,
        /// The kernel's word.
        error: io::Error,
    },
    /// The access log cannot be opened.
    AccessLog(Output, io::Error),
    /// The kernel does not let this process connect from clients' addresses.
    ForOthers {
        /// Which cluster is to be reached so.
        cluster: ClusterName,
        /// The kernel's word.
        error: io::Error,
    },
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind {
                addr,
                listener,
                error,
                ..
            } => write!(
                f,
                "cannot listen on {addr} (listener `{listener}`): {error}"
            ),
            Self::AccessLog(Output::File(path), error) => {
                write!(
                    f,
                    "cannot open the access log `{}`: {error}",
                    path.display()
                )
            }
            Self::AccessLog(_, error) => write!(f, "cannot open the access log: {error}"),
            Self::ForOthers { cluster, error } => write!(
                f,
                "cannot connect from clients' addresses (cluster `{cluster}`, `socket.source`): {error}; the process needs \
                 CAP_NET_ADMIN"
            ),
        }
    }
}

impl std::error::Error for Unready {}

/// A configuration with everything that it needs: only [`Serving::commit`] is left.
#[derive(Debug)]
pub struct Prepared {
    pub(super) plan: Plan,
    pub(super) keep: Vec<Open>,
    /// With a socket for each worker.
    pub(super) bound: Vec<(Open, Vec<Opened>)>,
    /// What kept files were given.
    pub(super) grants: Grants,
    pub(super) sink: Option<Sink>,
}

impl Plan {
    /// Binds what is not bound yet and opens what must be open. Listening is the last step: only then does
    /// the kernel take connections for us.
    pub fn prepare(self, serving: &Serving) -> Result<Prepared, Unready> {
        self.prove_for_others()?;
        let output = self.snapshot.access_log.output();
        let sink = if serving.epoch > 0 && serving.snapshot.access_log.output() == output {
            None
        } else {
            let unready = |error| Unready::AccessLog(output.clone(), error);
            Some(Sink::open(output).map_err(unready)?)
        };
        let wanted = self.snapshot.binds().filter_map(|(ix, addr)| {
            let listener = self.snapshot.listeners.get(ix)?;
            Some((
                addr.clone(),
                listener.name.clone(),
                listener.serves.transport(),
            ))
        });
        let sockets = Sockets::new(&there(&serving.open), wanted);
        let mut groups = Vec::with_capacity(sockets.bind.len());
        for wanted in sockets.bind {
            groups.push((self.bind(&wanted, serving.process.workers)?, wanted));
        }
        let mut grants = Grants::default();
        for open in &sockets.keep {
            self.grant(open, &mut grants)?;
        }
        let mut bound = Vec::with_capacity(groups.len());
        for (group, wanted) in groups {
            bound.push(wanted.listen(group)?);
        }
        Ok(Prepared {
            plan: self,
            keep: sockets.keep,
            bound,
            grants,
            sink,
        })
    }

    /// What a cluster with `source = "client"` needs is there before the first connection.
    fn prove_for_others(&self) -> Result<(), Unready> {
        let mut clusters = self.snapshot.clusters.iter();
        let Some(cluster) = clusters.find(|it| it.members.speaks_for_client()) else {
            return Ok(());
        };
        net::prove_for_others().map_err(|error| Unready::ForOthers {
            cluster: cluster.name.clone(),
            error,
        })
    }

    fn bind(&self, wanted: &Wanted, workers: usize) -> Result<Ready, Unready> {
        let ready = match (&wanted.asked, wanted.claim) {
            (ListenAddr::Unix(path), _) => Unplaced::bind(path, self.access(&wanted.listener))
                .map(|unplaced| Ready::Unix(unplaced, workers)),
            (ListenAddr::Inet(addr), Claim::Unproved) => {
                Group::bind(*addr, wanted.transport, workers).map(Ready::Inet)
            }
            (ListenAddr::Inet(addr), Claim::Ours) => {
                Group::bind_beside(*addr, wanted.transport, workers).map(Ready::Inet)
            }
        };
        ready.map_err(|error| wanted.unready(error))
    }

    /// Who may connect to the unix sockets of a listener.
    fn access(&self, listener: &ListenerName) -> Access {
        let mut listeners = self.snapshot.listeners.iter();
        let found = listeners.find(|it| it.name == *listener);
        found.map_or(Access::OWN, |listener| listener.access)
    }

    /// A unix socket that stays is for whom the new configuration says.
    fn grant(&self, open: &Open, grants: &mut Grants) -> Result<(), Unready> {
        let (ListenAddr::Unix(path), Some(file)) = (&open.asked, open.file) else {
            return Ok(());
        };
        let access = self.access(&open.what.listener);
        grants
            .add(path, file, &access)
            .map_err(|error| Unready::Bind {
                addr: open.asked.clone(),
                transport: open.what.transport,
                listener: open.what.listener.clone(),
                error,
            })
    }
}

/// Those that are still where they were put. A socket whose file is gone reaches nobody: its place is bound anew, if it is free.
fn there(open: &[Open]) -> Vec<Open> {
    let (there, lost): (Vec<_>, Vec<_>) = open.iter().cloned().partition(Open::is_there);
    for open in lost {
        tracing::warn!(addr = %open.asked, "somebody has removed the file of a listening socket; it is made anew where it is wanted");
    }
    there
}

impl Wanted {
    fn unready(&self, error: io::Error) -> Unready {
        Unready::Bind {
            addr: self.asked.clone(),
            transport: self.transport,
            listener: self.listener.clone(),
            error,
        }
    }

    fn listen(self, ready: Ready) -> Result<(Open, Vec<Opened>), Unready> {
        let (addr, sockets) = ready.listen().map_err(|error| self.unready(error))?;
        let Self {
            asked,
            listener,
            transport,
            ..
        } = self;
        let what = Listening {
            addr,
            listener,
            transport,
        };
        let file = sockets.iter().find_map(Opened::file);
        Ok((Open { asked, what, file }, sockets))
    }
}
