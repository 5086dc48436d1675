//! The script against the arithmetic, on a real Redis and a real Valkey: the same trace gives the same answers.

mod failover;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::base::clock::{self, Instant};
use crate::limit::{Algorithm, Meters, Outcome, Over};

const SECOND: u64 = 1_000_000;

/// Whose server is asked.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Redis,
    Valkey,
}

impl Kind {
    /// Its program. Debian's packages have the one; the other stands beside Python's.
    fn program(self) -> PathBuf {
        match self {
            Self::Redis => "redis-server".into(),
            Self::Valkey => {
                let at = |name: &str| std::env::var_os(name).map(PathBuf::from);
                let tools = at("TIDEGATE_TOOLS")
                    .or_else(|| Some(at("XDG_CACHE_HOME")?.join("tidegate")))
                    .or_else(|| Some(at("HOME")?.join(".cache/tidegate")));
                tools.unwrap_or_default().join("python/bin/valkey-server")
            }
        }
    }

    fn start(self, command: impl FnOnce(&mut Command)) -> Child {
        let program = self.program();
        let mut made = Command::new(&program);
        command(&mut made);
        made.stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}; `make tools` installs it", program.display())
            })
    }
}

/// Each test runs with a server of either kind.
macro_rules! with_each_kind {
    ($($test:ident)*) => {
        mod redis {
            $(#[test] fn $test() { super::$test(super::Kind::Redis); })*
        }
        mod valkey {
            $(#[test] fn $test() { super::$test(super::Kind::Valkey); })*
        }
    };
}
use with_each_kind;

/// A server of one test alone, on a unix socket.
struct Redis {
    child: Child,
    socket: PathBuf,
}

impl Redis {
    fn start(kind: Kind, name: &str) -> Self {
        let name = format!("tg-{kind:?}-{name}-{}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let child = kind.start(|command| {
            let alone = ["--port", "0", "--save", "", "--appendonly", "no"];
            command.args(alone).arg("--unixsocket").arg(&socket);
        });
        Self { child, socket }
    }

    fn store(&self, timeout: Duration) -> Store {
        let url = format!("unix://{}", self.socket.display());
        let store = Store::new(Address::parse(&url, None).unwrap(), timeout);
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

with_each_kind! {
    a_store_and_this_process_give_the_same_answers
    the_clock_of_the_store_counts_for_all
    a_store_that_falls_silent_is_left_alone_and_found_again
    a_store_that_lost_the_script_gets_it_again
    a_key_that_cannot_be_counted_is_no_failure_of_the_store
    a_store_that_is_a_replica_by_now_is_left_alone
}

fn a_store_and_this_process_give_the_same_answers(kind: Kind) {
    let redis = Redis::start(kind, "trace");
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

fn the_clock_of_the_store_counts_for_all(kind: Kind) {
    let redis = Redis::start(kind, "clock");
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

fn a_store_that_falls_silent_is_left_alone_and_found_again(kind: Kind) {
    let redis = Redis::start(kind, "silent");
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

/// Says something to the server beside the store.
fn say(redis: &Redis, words: &str) {
    let url = format!("unix://{}", redis.socket.display());
    let mut server = ::redis::Client::open(url)
        .unwrap()
        .get_connection()
        .unwrap();
    let mut command = ::redis::Cmd::new();
    command.arg(words.split_whitespace().collect::<Vec<_>>());
    command.exec(&mut server).unwrap();
}

fn asked(store: &Store, key: u128) -> Option<Outcome> {
    let name = LimiterName::parse("l").unwrap();
    let rule = Rule::new(Algorithm::FixedWindow, 9, SECOND, 9, Over::Reject).unwrap();
    let ticket = store.ask(&name, key, &rule, 1, None)?;
    Some(block_on(ticket.answer())?.outcome)
}

fn a_store_that_lost_the_script_gets_it_again(kind: Kind) {
    let redis = Redis::start(kind, "script");
    let store = redis.store(Duration::from_secs(10));
    for key in 0..20 {
        say(&redis, "SCRIPT FLUSH");
        assert_eq!(asked(&store, key), Some(Outcome::Pass));
    }
    let counts = store.breaker().counts();
    assert_eq!((counts.ok, counts.error, counts.skipped), (20, 0, 0));
}

fn a_key_that_cannot_be_counted_is_no_failure_of_the_store(kind: Kind) {
    let redis = Redis::start(kind, "type");
    let store = redis.store(Duration::from_secs(10));
    say(
        &redis,
        &format!("RPUSH tidegate:1:l:fixed_window:{:032x} x", 7),
    );
    for round in 0..10 {
        assert_eq!(asked(&store, 7), None, "{round}");
        assert_eq!(asked(&store, 8 + round), Some(Outcome::Pass));
    }
    let counts = store.breaker().counts();
    assert_eq!((counts.ok, counts.error, counts.skipped), (10, 10, 0));
    // Five in a row are a store that answers nobody.
    for _ in 0..5 {
        assert_eq!(asked(&store, 7), None);
    }
    assert!(store.breaker().is_open());
    wait("the store is found again", || !store.breaker().is_open());
}

fn a_store_that_is_a_replica_by_now_is_left_alone(kind: Kind) {
    let redis = Redis::start(kind, "replica");
    let store = redis.store(Duration::from_secs(10));
    assert_eq!(asked(&store, 1), Some(Outcome::Pass));
    say(&redis, "REPLICAOF 127.0.0.1 1");
    assert_eq!(asked(&store, 1), None);
    assert!(store.breaker().is_open());
}
