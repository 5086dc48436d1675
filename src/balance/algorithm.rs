//! How a cluster picks, as it is configured.

/// How a cluster picks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Algorithm {
    /// In turn, smoothly, exact to the weights.
    RoundRobin,
    /// By chance, with the share of the weights.
    Random,
    /// The less loaded of two drawn by chance.
    #[default]
    LeastRequest,
    /// The least loaded of all.
    LeastConnections,
    /// The one of two drawn by chance that would answer sooner.
    LeastTime,
    /// By the client's address: [`Algorithm::Maglev`] with its usual size.
    IpHash,
    /// By key, on a ring.
    RingHash {
        /// Points for each unit of weight.
        vnodes: u32,
        /// How much above its share of the load an endpoint may have; `None`: any.
        load_factor: Option<f64>,
    },
    /// By key, from a table.
    Maglev {
        /// Slots, a prime.
        table_size: u32,
    },
    /// By key, the highest score of all.
    Rendezvous,
}

impl Algorithm {
    /// Slots of a table when nothing else is said: the paper's small one, good for 650 endpoints.
    pub const TABLE_SIZE: u32 = 65_537;
    /// Points for each unit of weight when nothing else is said, nginx's number.
    pub const VNODES: u32 = 160;

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastRequest => "least_request",
            Self::LeastConnections => "least_connections",
            Self::LeastTime => "least_time",
            Self::IpHash => "ip_hash",
            Self::RingHash { .. } => "ring_hash",
            Self::Maglev { .. } => "maglev",
            Self::Rendezvous => "rendezvous",
        }
    }
}
