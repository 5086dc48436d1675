//! Which sockets stay, which are bound: the difference between what is open and what is wanted.

use crate::base::{ListenAddr, ListenerName};
use crate::listener::overlaps;
use crate::net::bind::Transport;
use crate::net::unix::Made;
use crate::worker::Listening;

/// An address that is listened on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Open {
    /// As it was written; port 0: any.
    pub(super) asked: ListenAddr,
    /// As it is, and for which listener.
    pub(super) what: Listening,
    /// The file of a unix socket.
    pub(super) file: Option<Made>,
}

impl Open {
    /// Whether those who connect come to it: nobody has removed its file, or put another in its place.
    pub(super) fn is_there(&self) -> bool {
        match (&self.what.addr, self.file) {
            (ListenAddr::Unix(path), Some(file)) => file.is_at(path),
            _ => true,
        }
    }
}

/// An address to be listened on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    pub(super) asked: ListenAddr,
    pub(super) listener: ListenerName,
    pub(super) transport: Transport,
    pub(super) claim: Claim,
}

/// Whose the address is until now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Claim {
    /// It must be proved that nobody has it.
    Unproved,
    /// This process listens on an address that overlaps it.
    Ours,
}

/// What becomes of listening sockets.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Sockets {
    /// Stay open, for the listener that they are for from now on.
    pub(super) keep: Vec<Open>,
    pub(super) bind: Vec<Wanted>,
}

impl Sockets {
    pub(super) fn new(
        open: &[Open],
        wanted: impl Iterator<Item = (ListenAddr, ListenerName, Transport)>,
    ) -> Self {
        let mut left: Vec<&Open> = open.iter().collect();
        let mut sockets = Self::default();
        for (asked, listener, transport) in wanted {
            // Port 0 is another address each time it is asked for: only the name tells which is meant.
            let found = left.iter().position(|open| {
                open.asked == asked
                    && open.what.transport == transport
                    && (asked.port() != Some(0) || open.what.listener == listener)
            });
            if let Some(index) = found {
                let open = left.remove(index);
                let what = Listening {
                    addr: open.what.addr.clone(),
                    listener,
                    transport,
                };
                let file = open.file;
                sockets.keep.push(Open { asked, what, file });
                continue;
            }
            let ours = open
                .iter()
                .any(|it| it.what.transport == transport && overlaps(&it.what.addr, &asked));
            sockets.bind.push(Wanted {
                asked,
                listener,
                transport,
                claim: if ours { Claim::Ours } else { Claim::Unproved },
            });
        }
        sockets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ListenerName {
        ListenerName::parse(text).unwrap()
    }

    fn open(asked: &str, addr: &str, listener: &str) -> Open {
        Open {
            asked: ListenAddr::parse(asked).unwrap(),
            what: Listening {
                addr: ListenAddr::parse(addr).unwrap(),
                listener: name(listener),
                transport: Transport::Tcp,
            },
            file: None,
        }
    }

    fn plan(open: &[Open], wanted: &[(&str, &str)]) -> Sockets {
        let wanted = wanted
            .iter()
            .map(|(addr, listener)| (ListenAddr::parse(addr).unwrap(), name(listener)));
        let wanted = wanted.map(|(addr, name)| (addr, name, Transport::Tcp));
        Sockets::new(open, wanted)
    }

    fn bound(sockets: &Sockets) -> Vec<(String, Claim)> {
        let one = |wanted: &Wanted| (wanted.asked.to_string(), wanted.claim);
        sockets.bind.iter().map(one).collect()
    }

    #[test]
    fn an_address_that_stays_keeps_its_socket_whatever_its_listener_is_called() {
        let before = [
            open("127.0.0.1:80", "127.0.0.1:80", "a"),
            open("127.0.0.1:81", "127.0.0.1:81", "b"),
            open("127.0.0.1:82", "127.0.0.1:82", "gone"),
        ];
        let after = plan(
            &before,
            &[
                ("127.0.0.1:81", "a"),
                ("127.0.0.1:80", "b"),
                ("127.0.0.1:83", "new"),
            ],
        );
        assert_eq!(
            after.keep,
            [
                open("127.0.0.1:81", "127.0.0.1:81", "a"),
                open("127.0.0.1:80", "127.0.0.1:80", "b"),
            ]
        );
        assert_eq!(
            bound(&after),
            [("127.0.0.1:83".to_owned(), Claim::Unproved)]
        );
    }

    #[test]
    fn any_port_is_kept_by_name_and_one_by_one() {
        let before = [
            open("127.0.0.1:0", "127.0.0.1:4001", "a"),
            open("127.0.0.1:0", "127.0.0.1:4002", "b"),
        ];
        let any = "127.0.0.1:0";
        let after = plan(&before, &[(any, "b"), (any, "b"), (any, "c")]);
        assert_eq!(after.keep, [open(any, "127.0.0.1:4002", "b")]);
        assert_eq!(after.bind.len(), 2);
    }

    #[test]
    fn from_all_addresses_to_one_is_beside_ourselves() {
        let before = [open("0.0.0.0:80", "0.0.0.0:80", "a")];
        let after = plan(&before, &[("127.0.0.1:80", "a"), ("[::]:80", "a")]);
        assert!(after.keep.is_empty());
        assert_eq!(
            bound(&after),
            [
                ("127.0.0.1:80".to_owned(), Claim::Ours),
                ("[::]:80".to_owned(), Claim::Unproved),
            ]
        );
    }

    #[test]
    fn datagrams_have_ports_of_their_own() {
        let before = [open("127.0.0.1:53", "127.0.0.1:53", "a")];
        let addr = ListenAddr::parse("127.0.0.1:53").unwrap();
        let both = [Transport::Udp, Transport::Tcp];
        let after = Sockets::new(
            &before,
            both.map(|it| (addr.clone(), name("a"), it)).into_iter(),
        );
        assert_eq!(after.keep, before);
        assert_eq!(after.bind[0].transport, Transport::Udp);
        assert_eq!(after.bind[0].claim, Claim::Unproved);
    }
}
