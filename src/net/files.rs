//! File descriptors: how many the process may have, and how many of them clients may not take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left when clients are turned away: for the connections to endpoints of those who are inside,
/// for the log, the admin interface and probes (E-134, E-135, F-14).
const FEWEST: u64 = 8;
const MOST: u64 = 1024;

/// The soft limit of open files; `None`: unlimited.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit to the hard one: the soft one is low for the sake of programs that use `select(2)`. What it
/// was and what it is.
pub fn raise() -> (Option<u64>, Option<u64>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
    (current, limit())
}

/// The first descriptor that is not a client's. The kernel gives out the lowest free number, so the number of a new
/// connection says how full the table is: nobody has to count.
pub fn first_reserved() -> i32 {
    let Some(limit) = limit() else {
        return i32::MAX;
    };
    let reserved = (limit / 8).clamp(FEWEST, MOST);
    i32::try_from(limit.saturating_sub(reserved)).unwrap_or(i32::MAX)
}
