//! What the interface is given: it looks at what runs and passes orders on, and knows nothing else.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::{ListenAddr, ListenerName};
use crate::cluster::Cluster;
use crate::config::Diagnostics;
use crate::limit::{Ledger, Level};
use crate::limiter::Limiter;
use crate::listener::Serves;
use crate::listener::admin::Token;
use crate::metrics::{Hub, ReloadResult};
use crate::route::RouteTable;
use crate::snapshot::Live;
use crate::tls::ServerTls;

use super::readiness::Readiness;

/// Everything that handlers may touch.
#[derive(Clone, Debug)]
pub struct Context {
    /// What is counted.
    pub hub: Arc<Hub>,
    /// What runs; sent anew after every load, also after one that was refused.
    pub running: watch::Receiver<Arc<Running>>,
    /// What operators have said.
    pub live: Arc<Live>,
    /// Loads the configuration.
    pub reload: Reload,
    /// Puts what operators have said in force.
    pub swap: Swap,
    /// Whether traffic is wanted.
    pub readiness: Arc<Readiness>,
    /// Memory for what peers make us hold.
    pub ledger: Arc<Ledger>,
}

impl Context {
    /// What speaks against being ready; nothing: ready.
    pub(super) fn not_ready(&self) -> Vec<&'static str> {
        let mut reasons = self.readiness.reasons();
        if self.ledger.level() == Level::Full {
            reasons.push("overloaded: memory");
        }
        reasons
    }
}

/// What the interface shows of the configuration in effect.
#[derive(Clone, Debug)]
pub struct Running {
    /// Counts configurations that took effect; the first is 1.
    pub epoch: u64,
    /// Hash of the configuration's text.
    pub hash: String,
    /// Listeners with the addresses that they really have.
    pub listeners: Vec<Listening>,
    /// Clusters.
    pub clusters: Vec<Arc<Cluster>>,
    /// Rate limiters.
    pub limiters: Vec<Arc<Limiter>>,
    /// Routes.
    pub routes: Arc<RouteTable>,
    /// How the last load ended.
    pub last_load: Loaded,
    /// What a change must carry.
    pub token: Option<Token>,
}

/// One listener at work.
#[derive(Clone, Debug)]
pub struct Listening {
    /// Its name.
    pub name: ListenerName,
    /// Where it listens, with real ports.
    pub addrs: Vec<ListenAddr>,
    /// What is done with what comes in.
    pub serves: Serves,
    /// What it shows to clients.
    pub tls: Option<Arc<ServerTls>>,
}

/// How a load of the configuration ended.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Whether it took effect.
    pub result: ReloadResult,
    /// When: time since the Unix epoch.
    pub at: Duration,
    /// Why it did not.
    pub message: Option<String>,
}

/// The answer to an order to reload.
#[derive(Clone, Debug)]
pub enum Reloaded {
    /// A configuration took effect.
    Applied {
        /// Its number.
        epoch: u64,
        /// What is different now, a line each.
        changes: Vec<String>,
        /// What is suspicious in it.
        warnings: Diagnostics,
    },
    /// The configuration is wrong. Nothing has changed.
    Invalid(Diagnostics),
    /// The configuration is right but could not take effect. Nothing has changed.
    Failed(String),
}

impl Reloaded {
    /// As it is counted.
    pub fn result(&self) -> ReloadResult {
        match self {
            Self::Applied { .. } => ReloadResult::Ok,
            Self::Invalid(_) => ReloadResult::Invalid,
            Self::Failed(_) => ReloadResult::Error,
        }
    }
}

type Ordered = Pin<Box<dyn Future<Output = Reloaded> + Send>>;

/// Passes on the order to reload.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> Ordered + Send + Sync>);

impl Reload {
    /// An order that is carried out by `order`.
    pub fn new<F>(order: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Reloaded> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(order())))
    }

    /// Orders a reload and waits for its end.
    pub async fn order(&self) -> Reloaded {
        (self.0)().await
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

type Swapped = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Passes on the order to put in force what operators have said.
#[derive(Clone)]
pub struct Swap(Arc<dyn Fn() -> Swapped + Send + Sync>);

impl Swap {
    /// An order that is carried out by `order`.
    pub fn new<F>(order: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(order())))
    }

    /// Orders it and waits until every worker keeps to it.
    pub async fn order(&self) {
        (self.0)().await;
    }
}

impl fmt::Debug for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Swap")
    }
}
