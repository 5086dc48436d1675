//! The thread that owns the connection.
//!
//! Questions that wait together leave as one pipeline (to a cluster: each to the server that has its key), several may be
//! under way; each has the store's timeout. A connection that breaks, or a breaker that opens, ends the connection; a new one is
//! tried once a second. So does a server that has become a replica.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, RedisError, ServerErrorKind, Value};
use tokio::sync::{Semaphore, mpsc};

use super::address::{Address, Connection};
use super::{Breaker, Question};
use crate::limit::{Decision, Outcome};
use crate::task;

const SCRIPT: &str = include_str!("script.lua");

/// Pause between two tries of a store that is down.
const PROBE: Duration = Duration::from_secs(1);
/// How long all may take until there is a connection: several servers may have to be asked the way.
const CONNECT: Duration = Duration::from_secs(3);
/// Questions under way.
const UNDER_WAY: u32 = 8192;

pub(super) struct Link {
    address: Address,
    timeout: Duration,
    breaker: Arc<Breaker>,
}

impl Link {
    pub(super) fn new(address: Address, timeout: Duration, breaker: Arc<Breaker>) -> Self {
        Self {
            address,
            timeout,
            breaker,
        }
    }

    /// Starts the thread; it ends when nobody can ask any more.
    pub(super) fn start(self, inbox: mpsc::Receiver<Question>) -> io::Result<()> {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(tokio::runtime::LocalOptions::default())
        };
        std::thread::Builder::new()
            .name("limits".to_owned())
            .spawn(move || match runtime() {
                Ok(runtime) => runtime.block_on(self.run(inbox)),
                Err(error) => {
                    tracing::error!(%error, "cannot build the runtime of the rate-limit store");
                }
            })
            .map(drop)
    }

    async fn run(self, mut inbox: mpsc::Receiver<Question>) {
        let mut known = false;
        loop {
            let connecting = self.address.connect(SCRIPT, self.timeout);
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(Ok((connection, script))) => {
                    tracing::info!("the rate-limit store answers");
                    known = true;
                    self.breaker.close();
                    if self.serve(connection, &script, &mut inbox).await == Served::Over {
                        return;
                    }
                    self.breaker.open();
                    tracing::warn!("the rate-limit store does not answer; on_error holds");
                }
                failed => {
                    if !std::mem::replace(&mut known, true) {
                        let error = failed
                            .err()
                            .map_or("no answer", |_| "no connection in time");
                        tracing::warn!(
                            error,
                            "the rate-limit store cannot be reached; on_error holds"
                        );
                    }
                }
            }
            // Whoever asked meanwhile waits for nothing: the answer's sender is dropped.
            let pause = tokio::time::sleep(PROBE);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    question = inbox.recv() => if question.is_none() { return },
                }
            }
        }
    }

    async fn serve(
        &self,
        connection: Connection,
        script: &str,
        inbox: &mut mpsc::Receiver<Question>,
    ) -> Served {
        let permits = Arc::new(Semaphore::new(UNDER_WAY as usize));
        let script: Rc<str> = script.into();
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                taken = inbox.recv_many(&mut batch, connection.batch()) => if taken == 0 { return Served::Over },
                // A pipeline that fails opens the breaker from its own task.
                () = tokio::time::sleep(PROBE / 10) => {
                    if self.breaker.is_open() {
                        return Served::Broken;
                    }
                    continue;
                }
            }
            let many = u32::try_from(batch.len()).unwrap_or(UNDER_WAY);
            let Ok(permit) = Arc::clone(&permits).acquire_many_owned(many).await else {
                return Served::Broken;
            };
            let (connection, script) = (connection.clone(), Rc::clone(&script));
            let breaker = Arc::clone(&self.breaker);
            task::spawn("limits", async move {
                put(connection, &script, batch, &breaker).await;
                drop(permit);
            });
            if self.breaker.is_open() {
                return Served::Broken;
            }
        }
    }
}

/// How the time with one connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Served {
    /// Nobody can ask any more.
    Over,
    /// The store does not answer.
    Broken,
}

/// Puts questions and hands out the answers. A server without the script is healthy (`SCRIPT FLUSH`, one that has just joined a
/// cluster): it gets the script and is asked again, once.
async fn put(mut connection: Connection, script: &str, batch: Vec<Question>, breaker: &Breaker) {
    let again = ask(&mut connection, script, batch, breaker).await;
    if again.is_empty() {
        return;
    }
    if let Err(error) = connection.load(SCRIPT).await {
        fail(breaker, again.len() as u64, &error);
        return;
    }
    let lost = ask(&mut connection, script, again, breaker).await;
    breaker.failed(lost.len() as u64);
}

/// Puts questions once. What comes back is for a server that has the script.
async fn ask(
    connection: &mut Connection,
    script: &str,
    mut batch: Vec<Question>,
    breaker: &Breaker,
) -> Vec<Question> {
    // Those that nobody waits for any more are not put.
    batch.retain(|question| !question.answer.is_closed());
    let mut again = Vec::new();
    if batch.is_empty() {
        return again;
    }
    let commands = batch.iter().map(|question| command(question, script));
    match connection.put(commands.collect()).await {
        Ok(values) => {
            for (question, value) in batch.into_iter().zip(&values) {
                match Heard::of(value) {
                    Heard::Decision(decision) => {
                        breaker.succeeded(1);
                        let _ = question.answer.send(decision);
                    }
                    Heard::NoScript => again.push(question),
                    Heard::Refusal => breaker.failed(1),
                    Heard::Unfit => {
                        breaker.failed(1);
                        breaker.open();
                    }
                }
            }
        }
        Err(error) => fail(breaker, batch.len() as u64, &error),
    }
    again
}

/// Questions without an answer. One that is late may be the last one; without a connection there are no more.
fn fail(breaker: &Breaker, asked: u64, error: &RedisError) {
    breaker.failed(asked);
    if !error.is_timeout() {
        breaker.open();
    }
}

/// What was heard on a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    Decision(Decision),
    /// The server does not have the script.
    NoScript,
    /// An error about this question (a key of another type) or of this moment (no memory left): the next one may be answered.
    Refusal,
    /// This server decides nothing: it is a replica by now, not whole, or no Redis.
    Unfit,
}

impl Heard {
    fn of(value: &Value) -> Self {
        match value {
            Value::ServerError(error) => match error.kind() {
                Some(ServerErrorKind::NoScript) => Self::NoScript,
                Some(
                    ServerErrorKind::ReadOnly
                    | ServerErrorKind::BusyLoading
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown,
                ) => Self::Unfit,
                _ => Self::Refusal,
            },
            value => decision(value).map_or(Self::Unfit, Self::Decision),
        }
    }
}

/// A question as the server gets it.
fn command(question: &Question, script: &str) -> Cmd {
    let rule = &question.rule;
    let mut command = Cmd::new();
    command
        .arg("EVALSHA")
        .arg(script)
        .arg(1)
        .arg(&question.key)
        .arg(rule.algorithm().as_str())
        .arg(rule.rate())
        .arg(rule.per())
        .arg(rule.burst())
        .arg(rule.patience())
        .arg(question.cost)
        .arg(rule.grain());
    match question.now {
        Some(now) => command.arg(now),
        None => command.arg(-1),
    };
    command
}

/// What the script said.
fn decision(value: &Value) -> Option<Decision> {
    let Value::Array(parts) = value else {
        return None;
    };
    let number = |at: usize| match parts.get(at) {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let wait = number(1)?;
    Some(Decision {
        outcome: match number(0)? {
            0 => Outcome::Pass,
            1 => Outcome::Delay(wait),
            _ => Outcome::Deny(wait),
        },
        remaining: number(2)?,
        reset: number(3)?,
    })
}
