//! The script against the arithmetic, on a real Redis: the same trace gives the same answers.

mod failover;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::base::clock::{self, Instant};
use crate::limit::{Algorithm, Meters, Outcome, Over};

const SECOND: u64 = 1_000_000;

/// A Redis of this test alone, on a unix socket.
struct Redis {
    child: Child,
    socket: PathBuf,
}

impl Redis {
    fn start(name: &str) -> Self {
        let socket =
            std::env::temp_dir().join(format!("tg-redis-{name}-{}.sock", std::process::id()));
        let child = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (scripts/tools.sh)");
        Self { child, socket }
    }

    fn store(&self, timeout: Duration) -> Store {
        let url = format!("unix://{}", self.socket.display());
        let store = Store::new(Address::parse(&url).unwrap(), timeout);
        store.start();
        wait("the store answers", || !store.breaker().is_open());
        store
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn wait(what: &str, is: impl Fn() -> bool) {
    let begin: Instant = clock::now();
    while !is() {
        assert!(clock::between(begin, clock::now()).as_secs() < 60, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(future)
}

#[test]
fn a_store_and_this_process_give_the_same_answers() {
    let redis = Redis::start("trace");
    let store = redis.store(Duration::from_secs(10));
    let name = LimiterName::parse("l").unwrap();
    let mut rng = fastrand::Rng::with_seed(3);
    let start = clock::micros(clock::now());
    let mut key = 0;
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::LeakyBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::SlidingLog,
    ] {
        for (rate, per, burst) in [
            (1, SECOND, 3),
            (3, SECOND, 3),
            (7, 60 * SECOND, 20),
            (97, 3600 * SECOND, 150),
            (1000, SECOND, 1000),
        ] {
            for patience in [0, per / 3] {
                let over = match algorithm {
                    _ if patience == 0 => Over::Reject,
                    Algorithm::LeakyBucket | Algorithm::SlidingWindow => continue,
                    _ => Over::Delay(patience),
                };
                let rule = Rule::new(algorithm, rate, per, burst, over).unwrap();
                let meters = Meters::new(algorithm, 1000);
                key += 1;
                let mut now = start;
                let mut trace = Vec::new();
                for _ in 0..60 {
                    now += match rng.u8(0..6) {
                        0 | 1 => 0,
                        2 => rng.u64(0..per / rate * 2),
                        3 => per / rate,
                        4 => rng.u64(0..per / 4),
                        _ => rng.u64(0..per / 16),
                    };
                    trace.push((now, rng.u32(1..=3.min(rule.capacity()))));
                }
                for (step, (now, cost)) in trace.into_iter().enumerate() {
                    let ticket = store.ask(&name, key, &rule, cost, Some(now)).unwrap();
                    let found = block_on(ticket.answer()).expect("an answer");
                    let wanted = meters.take(key, &rule, cost, now);
                    assert_eq!(found, wanted, "step {step}: {rule:?}");
                }
            }
        }
    }
    assert_eq!(store.breaker().counts().error, 0);
}

#[test]
fn the_clock_of_the_store_counts_for_all() {
    let redis = Redis::start("clock");
    let (one, two) = (
        redis.store(Duration::from_secs(10)),
        redis.store(Duration::from_secs(10)),
    );
    let name = LimiterName::parse("l").unwrap();
    let rule = Rule::new(Algorithm::TokenBucket, 50, 3600 * SECOND, 50, Over::Reject).unwrap();
    let passed = (0..200)
        .filter(|n| {
            let store = if n % 2 == 0 { &one } else { &two };
            let ticket = store.ask(&name, 1, &rule, 1, None).unwrap();
            block_on(ticket.answer()).unwrap().outcome == Outcome::Pass
        })
        .count();
    assert_eq!(passed, 50);
}

#[test]
fn a_store_that_falls_silent_is_left_alone_and_found_again() {
    let redis = Redis::start("silent");
    let store = redis.store(Duration::from_millis(20));
    let name = LimiterName::parse("l").unwrap();
    let rule = Rule::new(Algorithm::TokenBucket, 50, SECOND, 50, Over::Reject).unwrap();
    let ask = || store.ask(&name, 1, &rule, 1, None);
    let signal = |name: &str| {
        let pid = redis.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    };
    signal("STOP");
    let mut asked = 0;
    wait("the breaker opens", || match ask() {
        Some(ticket) => {
            assert_eq!(block_on(ticket.answer()), None);
            false
        }
        None => true,
    });
    asked += store.breaker().counts().error;
    assert!((1..=20).contains(&asked), "{asked}");
    assert!(ask().is_none() && store.breaker().counts().skipped > 0);
    signal("CONT");
    wait("the store is found again", || !store.breaker().is_open());
    let ticket = ask().unwrap();
    assert!(block_on(ticket.answer()).is_some());
}
