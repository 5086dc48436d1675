//! The thread that owns the connection.
//!
//! Questions that wait together leave as one pipeline, several pipelines may be under way; each has the store's
//! timeout. A connection that breaks, or a breaker that opens, ends the connection; a new one is tried once a second.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, Value};
use tokio::sync::{Semaphore, mpsc};

use super::{Breaker, Question};
use crate::limit::{Decision, Outcome};
use crate::task;

const SCRIPT: &str = include_str!("script.lua");

/// Pause between two tries of a store that is down.
const PROBE: Duration = Duration::from_secs(1);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(1);
/// Questions in one pipeline, and pipelines under way.
const BATCH: usize = 256;
const UNDER_WAY: usize = 32;

pub(super) struct Link {
    client: Client,
    timeout: Duration,
    breaker: Arc<Breaker>,
}

impl Link {
    pub(super) fn new(client: Client, timeout: Duration, breaker: Arc<Breaker>) -> Self {
        Self {
            client,
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
            match tokio::time::timeout(CONNECT, self.connect()).await {
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

    async fn connect(&self) -> redis::RedisResult<(MultiplexedConnection, String)> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(CONNECT));
        let client = &self.client;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut load = Cmd::new();
        load.arg("SCRIPT").arg("LOAD").arg(SCRIPT);
        let digest: String = load.query_async(&mut connection).await?;
        connection.set_response_timeout(self.timeout);
        Ok((connection, digest))
    }

    async fn serve(
        &self,
        connection: MultiplexedConnection,
        script: &str,
        inbox: &mut mpsc::Receiver<Question>,
    ) -> Served {
        let permits = Arc::new(Semaphore::new(UNDER_WAY));
        let script: Rc<str> = script.into();
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                taken = inbox.recv_many(&mut batch, BATCH) => if taken == 0 { return Served::Over },
                // A pipeline that fails opens the breaker from its own task.
                () = tokio::time::sleep(PROBE / 10) => {
                    if self.breaker.is_open() {
                        return Served::Broken;
                    }
                    continue;
                }
            }
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
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

/// Puts questions and hands out the answers.
async fn put(
    mut connection: MultiplexedConnection,
    script: &str,
    batch: Vec<Question>,
    breaker: &Breaker,
) {
    // Those that nobody waits for any more are not put.
    let batch: Vec<_> = batch
        .into_iter()
        .filter(|question| !question.answer.is_closed())
        .collect();
    if batch.is_empty() {
        return;
    }
    let mut pipeline = Pipeline::with_capacity(batch.len());
    for question in &batch {
        let rule = &question.rule;
        pipeline
            .cmd("EVALSHA")
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
            Some(now) => pipeline.arg(now),
            None => pipeline.arg(-1),
        };
    }
    let answers = connection
        .send_packed_commands(&pipeline, 0, batch.len())
        .await;
    let asked = batch.len() as u64;
    match answers {
        Ok(values) => {
            let mut good = 0;
            for (question, value) in batch.into_iter().zip(&values) {
                if let Some(decision) = decision(value) {
                    good += 1;
                    let _ = question.answer.send(decision);
                }
            }
            if good == asked {
                breaker.succeeded(good);
            } else {
                // A server that lost the script, or that is no Redis.
                breaker.failed(asked - good);
                breaker.open();
            }
        }
        Err(error) => {
            breaker.failed(asked);
            if !error.is_timeout() {
                breaker.open();
            }
        }
    }
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
