//! What a decision of a shared limiter adds: ten thousand a second for ten seconds, asked of a real Redis over loopback when
//! they are due and not when the one before is answered. Needs `redis-server`, starts and ends one of its own.
//! `cargo test` runs a hundredth of it.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench says what it found, and has no tasks to count"
)]

use std::cell::RefCell;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tidegate::base::LimiterName;
use tidegate::base::clock::{self, Instant};
use tidegate::limit::{Algorithm, Over, Rule};
use tidegate::limiter::store::{Address, Store};
use tokio::task::LocalSet;

const RATE: usize = 10_000;
const KEYS: u128 = 10_000;
/// Of a millisecond: the runtime's timers know nothing finer.
const TURN: Duration = Duration::from_millis(1);

struct Redis(Child);

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn redis() -> std::io::Result<(Redis, String)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string()])
        .stdout(Stdio::null())
        .spawn()?;
    Ok((Redis(child), format!("redis://127.0.0.1:{port}/")))
}

/// Asks for so many turns; how long each answer took. `None`: there was none in time.
async fn ask(store: Rc<Store>, name: LimiterName, rule: Rule, turns: usize) -> Vec<Option<u64>> {
    let took = Rc::new(RefCell::new(Vec::with_capacity(turns * RATE / 1000)));
    let mut rng = fastrand::Rng::with_seed(1);
    let mut due: Instant = clock::now();
    let mut asked = Vec::new();
    for _ in 0..turns {
        due += TURN;
        // Who is late does not sleep: the runtime's timers would make it later still.
        if clock::now() < due {
            tokio::time::sleep_until(due.into()).await;
        }
        for _ in 0..RATE / 1000 {
            let began = clock::now();
            let ticket = store.ask(&name, rng.u128(..KEYS), &rule, 1, None);
            let took = Rc::clone(&took);
            asked.push(tokio::task::spawn_local(async move {
                let answer = match ticket {
                    Some(ticket) => ticket.answer().await,
                    None => None,
                };
                let time = clock::between(began, clock::now()).as_nanos();
                took.borrow_mut()
                    .push(answer.map(|_| u64::try_from(time).unwrap_or(u64::MAX)));
            }));
        }
    }
    for one in asked {
        let _ = one.await;
    }
    took.take()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let whole = std::env::args().any(|word| word == "--bench");
    let turns = if whole { 10_000 } else { 100 };
    let (_redis, url) = redis()?;
    let address = Address::parse(&url, None).map_err(|_| "an address of Redis")?;
    let store = Rc::new(Store::new(address, Duration::from_millis(20)));
    store.start();
    let began = clock::now();
    while store.breaker().is_open() {
        if clock::between(began, clock::now()) > Duration::from_secs(30) {
            return Err("Redis does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let name = LimiterName::parse("bench").map_err(|_| "a name")?;
    for algorithm in [Algorithm::TokenBucket, Algorithm::SlidingWindow] {
        let rule = Rule::new(algorithm, 100, 60_000_000, 200, Over::Reject);
        let rule = rule.map_err(|_| "a rule")?;
        let asking = ask(Rc::clone(&store), name.clone(), rule, turns);
        let took = LocalSet::new().block_on(&runtime, asking);
        let mut times: Vec<u64> = took.iter().copied().flatten().collect();
        times.sort_unstable();
        let at = |hundredths: usize| {
            let place = times.len().saturating_sub(1) * hundredths / 100;
            times.get(place).map_or(0, |nanos| nanos / 1000)
        };
        println!(
            "{}, {RATE} decisions a second: p50 {} us, p99 {} us, longest {} us; without an answer in time {} of {}",
            algorithm.as_str(),
            at(50),
            at(99),
            at(100),
            took.len() - times.len(),
            took.len(),
        );
    }
    Ok(())
}
