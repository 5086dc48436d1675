//! A session of layer 4: the page for byte streams, beside the one for requests.
//!
//! ```text
//! breaker → place (queue) → connect, and again at another endpoint → a tunnel
//! ```
//!
//! Nothing of the client's bytes is read before an endpoint is reached, so that a failed connection loses none of them and
//! another one may be tried.

use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Held;
use super::checkout::{Patience, fresh};
use super::pause::unless;
use super::place::{self, Asking, Place, Wish};
use super::retry::{Account, Decision, Failed, When, decide};
use super::watch::{ON_TRIAL, Passage, Watch};
use crate::base::clock::{self, Instant};
use crate::base::reason::Blame;
use crate::base::{Error, Phase, Reason};
use crate::endpoint::{EndpointIx, Tried};
use crate::message::Method;
use crate::message::key::KeyInput;
use crate::metrics::RetryResult;
use crate::net::deadline::Tick;
use crate::net::{Stream, Timer};
use crate::record::Record;
use crate::worker::{ClusterView, Local};

/// Who asks for a connection, and where to.
pub struct Session<'a> {
    /// The worker.
    pub local: &'a Local,
    /// Where to.
    pub cluster: &'a ClusterView,
    /// What is known of it.
    pub record: &'a mut Record,
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// When it began.
    pub started: Instant,
}

/// What a key of a session may be read from: it has no head, so that its client's address is all.
pub fn key_input(record: &Record, client: IpAddr) -> KeyInput<'_> {
    KeyInput::received(record.head(), client, "")
}

impl Session<'_> {
    /// What it asks of the balancer.
    pub(super) fn wish(&self) -> Wish {
        let input = key_input(self.record, self.client);
        let key = self.cluster.cluster.key.as_ref();
        Wish::by_key(key.and_then(|key| key.hash(&input)))
    }
}

/// An endpoint that was reached.
pub struct Reached {
    /// The connection.
    pub stream: Stream,
    /// Its place in the endpoint's counts.
    pub held: Held,
    /// Which it is.
    pub ix: EndpointIx,
}

/// Connects to an endpoint of the cluster.
pub async fn reach(
    session: Session<'_>,
    timer: &Timer,
    hung_up: impl FnMut(&mut Context<'_>) -> Poll<Error>,
) -> Result<Reached, Error> {
    let cluster = session.cluster;
    session.record.aim(&cluster.cluster.name);
    let passage =
        Passage::open(cluster, session.started).map_err(|_| Error::from(Reason::BreakerOpen))?;
    cluster.budget.borrow_mut().deposit(session.started);
    let wish = session.wish();
    let mut asking = Asking {
        record: session.record,
        drain: &session.local.drain,
        started: session.started,
        hung_up,
        timer,
        cluster,
        total: Tick::NEVER,
        wish,
        waited: Duration::ZERO,
    };
    let reached = attempts(&mut asking, &passage, session.local).await;
    if let Err(error) = &reached {
        passage.failed(error);
    }
    reached
}

/// Tries endpoints as long as the cluster's policy allows another.
async fn attempts<H: FnMut(&mut Context<'_>) -> Poll<Error>>(
    asking: &mut Asking<'_, H>,
    passage: &Passage<'_>,
    local: &Local,
) -> Result<Reached, Error> {
    let cluster = asking.cluster;
    let mut tried = Tried::new();
    let permit = asking.permit().await?;
    let mut place = asking.place(&tried).await?;
    let account = Account::new(cluster);
    let mut cause = None;
    loop {
        let ix = place.ix;
        let again = tried.contains(ix);
        let error = match attempt(asking.record, passage, cluster, place, again).await {
            Ok((stream, held)) => {
                account.made(cause, RetryResult::Success);
                let held = held.with(permit);
                return Ok(Reached { stream, held, ix });
            }
            Err(error) => error,
        };
        tried.insert(ix);
        if error.reason() == ON_TRIAL.reason() {
            place = asking.place(&tried).await?;
            continue;
        }
        account.made(cause.take(), RetryResult::Failure);
        if error.reason().row().blame != Blame::Endpoint {
            return Err(error);
        }
        // Nothing was written, so that the method plays no part.
        let failed = Failed::untouched(error, true);
        let error = failed.error;
        let decision = decide(account.policy(), Method::Connect, &failed.failure);
        match decision {
            Decision::Stop(why) => return Err(account.deny(&error, why)),
            Decision::FreshConnection | Decision::OtherEndpoint(_) => {
                let found = place::at_once(decision, cluster, &tried, asking.wish);
                let when = When::before(found.as_ref());
                let pause = account
                    .pay(when, local.credit.level(), None, clock::now())
                    .map_err(|why| account.deny(&error, why))?;
                cause = Some(error.reason());
                if !pause.is_zero() {
                    let sleep = tokio::time::sleep(pause);
                    unless(asking.drain, &mut asking.hung_up, sleep).await?;
                }
                place = found
                    .map_or_else(|| place::another(cluster, &tried, asking.wish), Ok)
                    .map_err(|why| account.deny(&error, why))?;
            }
        }
    }
}

/// One attempt at one endpoint.
async fn attempt(
    record: &mut Record,
    passage: &Passage<'_>,
    cluster: &ClusterView,
    place: Place,
    again: bool,
) -> Result<(Stream, Held), Error> {
    let Place { ix, slot, .. } = place;
    let endpoint = cluster.cluster.set.endpoint(ix);
    let endpoint = endpoint.ok_or_else(|| Error::from(Reason::Internal))?;
    let began = clock::now();
    let watch = Watch::begin(passage, endpoint, again, began).ok_or(ON_TRIAL)?;
    record.attempt(&cluster.cluster.name, &endpoint.text);
    record.phase(Phase::Connect);
    let held = Held::begin(slot, endpoint);
    let patience = Patience::new(cluster, None, began);
    match fresh(record, cluster, &endpoint.spec, patience, began).await {
        Ok(stream) => {
            watch.connected(clock::now());
            Ok((stream, held))
        }
        Err(error) => {
            watch.ended(&error, super::retry::Reused::Fresh);
            Err(error)
        }
    }
}
