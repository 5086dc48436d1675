//! Clients that ask without end and count what they get. Every request carries a nonce of its own;
//! an answer with another one was meant for somebody else.

use super::client::Client;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// How a client uses its connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    KeepAlive,
    /// A connection for every request.
    Fresh,
}

/// What clients saw.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers 200 with the right nonce.
    pub good: usize,
    /// Everything else, told.
    pub bad: Vec<String>,
    /// Answers that carried somebody else's nonce.
    pub crossed: usize,
    /// Attempts to connect that were refused.
    pub refused: usize,
    /// How long each request took, in microseconds.
    pub times: Vec<u32>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} good, {} lost, {} crossed, {} refused; p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms",
            self.good,
            self.bad.len(),
            self.crossed,
            self.refused,
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(1.0)
        )
    }
}

impl Tally {
    /// In milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a position in a list"
    )]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        f64::from(times.get(at).copied().unwrap_or_default()) / 1000.0
    }

    pub fn merge(&mut self, other: Self) {
        self.times.extend(other.times);
        self.good += other.good;
        self.bad.extend(other.bad);
        self.crossed += other.crossed;
        self.refused += other.refused;
    }

    /// Asserts that every request got its answer.
    #[track_caller]
    pub fn all_good(&self) {
        assert_eq!(self.crossed, 0, "answers that reached the wrong client");
        assert!(
            self.bad.is_empty(),
            "{} lost beside {} good: {:?}",
            self.bad.len(),
            self.good,
            &self.bad[..self.bad.len().min(5)]
        );
    }
}

fn nonce() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!(
        "{:x}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// One request with a nonce; what came back is counted. Gives whether the connection may be used again.
pub fn ask(client: &mut Client, method: &str, tally: &mut Tally) -> bool {
    tally.ask(client, method, "test.example")
}

impl Tally {
    /// [`ask`], of this host.
    pub fn ask(&mut self, client: &mut Client, method: &str, host: &str) -> bool {
        let began = Instant::now();
        let reusable = self.exchange(client, method, host);
        let took = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.times.push(took);
        reusable
    }

    fn exchange(&mut self, client: &mut Client, method: &str, host: &str) -> bool {
        let tally = self;
        let nonce = nonce();
        let length = if method == "POST" {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        client.send(format!(
            "{method} /{nonce} HTTP/1.1\r\nHost: {host}\r\nX-Nonce: {nonce}\r\n{length}\r\n"
        ));
        match client.try_response_to(method) {
            Ok(response) if response.status == 200 => {
                let mine =
                    response.one("x-nonce") == Some(&nonce) && response.text().contains(&nonce);
                if mine {
                    tally.good += 1;
                } else {
                    tally.crossed += 1;
                }
                !response.closes()
            }
            Ok(response) => {
                tally.bad.push(format!(
                    "{method} {nonce}: {} {}",
                    response.status,
                    response.text()
                ));
                !response.closes()
            }
            Err(fault) => {
                tally.bad.push(format!("{method} {nonce}: {fault:?}"));
                false
            }
        }
    }
}

/// Clients at work.
pub struct Load {
    threads: Vec<JoinHandle<Tally>>,
    stop: Arc<AtomicBool>,
    /// Requests ended, by client.
    answers: Arc<Vec<AtomicUsize>>,
}

/// What the clients of a load do.
#[derive(Clone, Copy)]
pub struct Shape {
    pub clients: usize,
    pub style: Style,
    pub method: &'static str,
    /// Requests of each client; it may be stopped before.
    pub requests: usize,
}

impl Shape {
    pub fn gets(clients: usize, style: Style) -> Self {
        Self {
            clients,
            style,
            method: "GET",
            requests: usize::MAX,
        }
    }

    pub fn requests(self, requests: usize) -> Self {
        Self { requests, ..self }
    }

    pub fn start(self, addr: SocketAddr) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let answers: Vec<_> = (0..self.clients).map(|_| AtomicUsize::new(0)).collect();
        let answers = Arc::new(answers);
        let threads = (0..self.clients)
            .map(|client| {
                let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
                thread::spawn(move || self.run(addr, &stop, &answers[client]))
            })
            .collect();
        Load {
            threads,
            stop,
            answers,
        }
    }

    fn run(self, addr: SocketAddr, stop: &AtomicBool, answers: &AtomicUsize) -> Tally {
        let mut tally = Tally::default();
        let mut kept: Option<Client> = None;
        for _ in 0..self.requests {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let used = if kept.is_some() { "used" } else { "new" };
            let connection = kept.take().map_or_else(|| Client::try_connect(addr), Ok);
            let Ok(mut client) = connection else {
                tally.refused += 1;
                break;
            };
            let before = tally.bad.len();
            let reusable = ask(&mut client, self.method, &mut tally);
            for what in &mut tally.bad[before..] {
                what.push_str(", on a connection that was ");
                what.push_str(used);
            }
            answers.fetch_add(1, Ordering::Relaxed);
            if reusable && self.style == Style::KeepAlive {
                kept = Some(client);
            }
        }
        tally
    }
}

impl Load {
    /// Requests ended up to now.
    pub fn answers(&self) -> usize {
        self.answers
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// Waits until no request is under way that was under way now: every client has ended two more.
    #[track_caller]
    pub fn everybody(&self) {
        let counts = || -> Vec<usize> {
            self.answers
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .collect()
        };
        let before = counts();
        super::eventually("every client goes on", || {
            let over = |client: usize| self.threads[client].is_finished();
            let on =
                |(client, (now, then)): (usize, (usize, &usize))| now >= then + 2 || over(client);
            counts()
                .into_iter()
                .zip(&before)
                .enumerate()
                .all(on)
                .then_some(())
        });
    }

    /// Waits until so many more requests have ended.
    #[track_caller]
    pub fn more(&self, count: usize) {
        let goal = self.answers() + count;
        super::eventually("the load goes on", || {
            let over = self.threads.iter().all(JoinHandle::is_finished);
            (over || self.answers() >= goal).then_some(())
        });
    }

    pub fn running(&self) -> bool {
        !self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Stops all clients between two requests.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until all clients are through.
    pub fn join(self) -> Tally {
        let mut sum = Tally::default();
        for thread in self.threads {
            sum.merge(thread.join().expect("a client"));
        }
        sum
    }
}
