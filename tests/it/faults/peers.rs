//! The same faults for nginx and `HAProxy` (Debian's packages): the same origins, the same clients, the same kills.
//!
//! As a test it is small, and asks of the peers only that they serve. The figures of docs/reliability.md are written by
//! `TIDEGATE_FAULT_SCALE=0.15 UPDATE=1 cargo test --release --test it -- faults::peers`.

use super::{crosstalk, kills, races, twice};
use crate::support::load::{Shape, Style, Tally};
use crate::support::{
    Answer, Client, Origin, OriginProcess, Proxy, Setup, endpoint, eventually, ports, scale,
};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Tidegate,
    Nginx,
    Haproxy,
}

const KINDS: [Kind; 3] = [Kind::Tidegate, Kind::Nginx, Kind::Haproxy];

/// What is tried again beside connections that fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Again {
    /// Nothing.
    Usual,
    /// An answer 503.
    Busy,
    /// No answer within a second.
    Hung,
}

/// A proxy over endpoints: all in one group, or each for a Host of its own.
struct Front {
    web: SocketAddr,
    _proxy: Running,
    _setup: Setup,
}

enum Running {
    Ours(#[expect(dead_code, reason = "held, and ended by its drop")] Box<Proxy>),
    Peer(Child),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Peer(child) = self {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

#[derive(Clone, Copy)]
enum Shared<'a> {
    One(&'a [SocketAddr]),
    Each(&'a [SocketAddr]),
}

impl Shared<'_> {
    fn groups(self) -> Vec<(Option<usize>, Vec<SocketAddr>)> {
        match self {
            Self::One(all) => vec![(None, all.to_vec())],
            Self::Each(all) => all
                .iter()
                .enumerate()
                .map(|(number, addr)| (Some(number), vec![*addr]))
                .collect(),
        }
    }
}

fn start(kind: Kind, over: Shared<'_>, again: Again) -> Front {
    let setup = Setup::new();
    let dir = setup.dir.file("peer");
    std::fs::create_dir_all(&dir).unwrap();
    let (web, command) = match kind {
        Kind::Tidegate => {
            let setup = ours(setup, over, again);
            let proxy = setup.start();
            return Front {
                web: proxy.web,
                _proxy: Running::Ours(Box::new(proxy)),
                _setup: setup,
            };
        }
        Kind::Nginx => {
            let web = ports::free();
            let file = dir.join("nginx.conf");
            std::fs::write(&file, nginx(web, &dir, over, again)).unwrap();
            let mut command = Command::new("nginx");
            command
                .arg("-p")
                .arg(&dir)
                .arg("-c")
                .arg(file)
                .arg("-e")
                .arg(dir.join("error.log"));
            (web, command)
        }
        Kind::Haproxy => {
            let web = ports::free();
            let file = dir.join("haproxy.cfg");
            std::fs::write(&file, haproxy(web, over, again)).unwrap();
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(file);
            (web, command)
        }
    };
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let child = { command }
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{kind:?} (Debian's package): {error}"));
    let running = Running::Peer(child);
    eventually(&format!("{kind:?} listens"), || {
        Client::try_connect(web).ok()
    });
    Front {
        web,
        _proxy: running,
        _setup: setup,
    }
}

fn ours(setup: Setup, over: Shared<'_>, again: Again) -> Setup {
    let mut setup = setup;
    for (number, addrs) in over.groups() {
        let name: &'static str = match number {
            None => "app",
            Some(number) => Box::leak(format!("c{number}").into_boxed_str()),
        };
        let list: Vec<_> = addrs.iter().copied().map(endpoint).collect();
        let retry = match again {
            Again::Usual => String::new(),
            Again::Busy => {
                format!("[clusters.{name}.retry]\non = [\"connect\", \"reset\", \"503\"]")
            }
            Again::Hung => format!(
                "[clusters.{name}.retry]\non = [\"connect\", \"reset\", \"response_timeout\"]\nper_try_timeout = \"1s\""
            ),
        };
        let host = number.map_or(String::new(), |number| {
            format!("hosts = [\"{number}.test\"]\n")
        });
        setup = setup
            .cluster(name, &list, &format!("balancer = \"round_robin\"\n{retry}"))
            .route(name, &format!("{host}cluster = \"{name}\""));
    }
    setup
}

/// Defaults, with connections to endpoints that are kept, and as many tries as ours.
fn nginx(web: SocketAddr, dir: &Path, over: Shared<'_>, again: Again) -> String {
    let dir = dir.display();
    let next = match again {
        Again::Usual | Again::Hung => "error timeout",
        Again::Busy => "error timeout http_503",
    };
    let wait = if again == Again::Hung { "1s" } else { "60s" };
    let mut text = format!(
        "daemon off; worker_processes 2; pid {dir}/pid;\nevents {{ worker_connections 4096; }}\nhttp {{\naccess_log \
         off;\nclient_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;\nuwsgi_temp_path \
         {dir}/d; scgi_temp_path {dir}/e;\nkeepalive_requests 1000000;\nproxy_http_version 1.1; proxy_set_header \
         Connection \"\";\nproxy_next_upstream {next}; proxy_next_upstream_tries 3; proxy_connect_timeout 3s; \
         proxy_read_timeout {wait};\n"
    );
    for (number, addrs) in over.groups() {
        let name = number.map_or_else(|| "app".to_owned(), |number| format!("c{number}"));
        let host = number.map_or_else(|| "_".to_owned(), |number| format!("{number}.test"));
        let servers: Vec<_> = addrs.iter().map(|addr| format!("server {addr};")).collect();
        let servers = servers.join(" ");
        let _ = writeln!(
            text,
            "upstream {name} {{ {servers} keepalive 64; }}\nserver {{ listen {web}; server_name {host}; location / {{ \
             proxy_pass http://{name}; }} }}"
        );
    }
    text + "}\n"
}

/// Defaults, with what is tried again told, and for idempotent methods only.
fn haproxy(web: SocketAddr, over: Shared<'_>, again: Again) -> String {
    let on = match again {
        Again::Usual => "conn-failure empty-response",
        Again::Busy => "conn-failure empty-response 503",
        Again::Hung => "conn-failure empty-response response-timeout",
    };
    let wait = if again == Again::Hung { "1s" } else { "60s" };
    let mut text = format!(
        "global\n maxconn 4096\n nbthread 2\ndefaults\n mode http\n timeout connect 3s\n timeout client 60s\n timeout \
         server {wait}\n retries 2\n option redispatch 1\n retry-on {on}\nfrontend web\n bind {web}\n http-request \
         disable-l7-retry if METH_POST\n"
    );
    let mut farms = String::new();
    for (number, addrs) in over.groups() {
        let name = number.map_or_else(|| "app".to_owned(), |number| format!("c{number}"));
        let _ = match number {
            None => writeln!(text, " default_backend app"),
            Some(number) => writeln!(
                text,
                " use_backend {name} if {{ req.hdr(host) {number}.test }}"
            ),
        };
        let _ = writeln!(farms, "backend {name}\n balance roundrobin");
        for (at, addr) in addrs.iter().enumerate() {
            let _ = writeln!(farms, " server s{at} {addr}");
        }
    }
    text + &farms
}

fn addrs(origins: &[OriginProcess]) -> Vec<SocketAddr> {
    origins.iter().map(OriginProcess::addr).collect()
}

/// What one proxy did in one row, as the page shows it.
type Cell = String;

/// A row: its name, and how it is measured.
type Row = (&'static str, fn(Kind) -> Cell);

fn killed_gets(kind: Kind) -> Cell {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let front = start(kind, Shared::One(&addrs(&origins)), Again::Usual);
    let tally = kills::gets(front.web, &mut origins, scale(2, 50), scale(400, 10_000));
    assert!(tally.good > 0, "{kind:?}: {tally}");
    assert_eq!(tally.crossed, 0, "{kind:?}");
    format!(
        "{} lost; p99 {:.0} ms",
        tally.bad.len(),
        tally.quantile(0.99)
    )
}

fn killed_posts(kind: Kind) -> Cell {
    let setup = Setup::new();
    let journal = setup.dir.file("journal");
    let mut origins = kills::with_journal(&journal);
    let front = start(kind, Shared::One(&addrs(&origins)), Again::Usual);
    let tally = kills::posts(front.web, &mut origins, scale(2, 50), scale(400, 20_000));
    assert!(tally.good > 0, "{kind:?}: {tally}");
    format!(
        "{} lost, {} done twice",
        tally.bad.len(),
        twice(&journal).len()
    )
}

fn killed_answers(kind: Kind) -> Cell {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let front = start(kind, Shared::One(&addrs(&origins)), Again::Usual);
    let seen = kills::downloads(front.web, &mut origins, 1 << 20, scale(60, 3000));
    let count = |of: &std::sync::atomic::AtomicUsize| of.load(Ordering::Relaxed);
    assert!(count(&seen.whole) > 0, "{kind:?}");
    format!(
        "{} short successes, {} visible breaks, {} refusals",
        count(&seen.short),
        count(&seen.broken),
        count(&seen.refused)
    )
}

fn hung(kind: Kind) -> Cell {
    let origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let front = start(kind, Shared::One(&addrs(&origins)), Again::Hung);
    origins[0].stop();
    let tally = Shape::gets(4, Style::KeepAlive)
        .requests(scale(12, 100))
        .start(front.web)
        .join();
    origins[0].resume();
    assert!(tally.good > 0, "{kind:?}: {tally}");
    format!(
        "{} of {} lost; p50 {:.1} ms, p99 {:.0} ms",
        tally.bad.len(),
        tally.good + tally.bad.len(),
        tally.quantile(0.5),
        tally.quantile(0.99)
    )
}

fn raced(kind: Kind, method: &'static str) -> Cell {
    let setup = Setup::new();
    let journal = setup.dir.file("journal");
    let origins = races::origins(races::CLIENTS, &journal);
    let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
    let front = start(kind, Shared::Each(&addrs), Again::Usual);
    let wanted = scale(640, 100_000) / races::CLIENTS * races::CLIENTS;
    let tally = races::sweep(front.web, races::CLIENTS, method, wanted);
    assert!(tally.good > 0, "{kind:?}: {tally}");
    assert_eq!(tally.crossed, 0, "{kind:?}");
    format!(
        "{} of {wanted} lost, {} done twice",
        tally.bad.len(),
        twice(&journal).len()
    )
}

fn all_down(kind: Kind) -> Cell {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let front = start(kind, Shared::One(&addrs(&origins)), Again::Usual);
    for origin in &mut origins {
        origin.kill();
    }
    let mut tally = Tally::default();
    let mut client = Client::connect(front.web);
    for _ in 0..scale(20, 500) {
        if !tally.ask(&mut client, "GET", "test.example") {
            client = Client::connect(front.web);
        }
    }
    assert_eq!(tally.good, 0, "{kind:?}");
    let told = tally
        .bad
        .iter()
        .filter(|bad| bad.contains(" 502 ") || bad.contains(" 503 "))
        .count();
    assert_eq!(told, tally.bad.len(), "{kind:?}: {:?}", tally.bad.first());
    format!(
        "502 or 503 after p50 {:.1} ms, p99 {:.0} ms",
        tally.quantile(0.5),
        tally.quantile(0.99)
    )
}

fn storm(kind: Kind) -> Cell {
    let origins: Vec<_> = (0..3)
        .map(|_| {
            Origin::plan()
                .counts_only()
                .respond(|_| Answer::status(503))
                .start()
        })
        .collect();
    let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
    let front = start(kind, Shared::One(&addrs), Again::Busy);
    let requests = scale(400, 20_000);
    let tally = Shape::gets(4, Style::KeepAlive)
        .requests(requests / 4)
        .start(front.web)
        .join();
    assert_eq!(tally.bad.len(), requests, "{kind:?}");
    let attempts: usize = origins.iter().map(Origin::count).sum();
    format!(
        "{:.2} tries for each request",
        attempts as f64 / requests as f64
    )
}

fn crossed(kind: Kind) -> Cell {
    let mut origins: Vec<_> = (0..3).map(|_| OriginProcess::start()).collect();
    let front = start(kind, Shared::One(&addrs(&origins)), Again::Usual);
    // The pause lets a peer that set an endpoint aside find it again.
    std::thread::sleep(Duration::from_millis(100));
    let (tally, left, kills) = crosstalk::storm(front.web, &mut origins, scale(1200, 200_000));
    assert!(left > 0 && kills > 0);
    format!(
        "{} crossed, {} lost of {}",
        tally.crossed,
        tally.bad.len(),
        tally.good + tally.bad.len()
    )
}

const BEGIN: &str = "<!-- Measured by `TIDEGATE_FAULT_SCALE=0.15 UPDATE=1 cargo test --release --test it -- faults::peers`. -->\n";
const END: &str = "<!-- Here ends what is measured. -->\n";

#[test]
fn the_same_faults_for_every_proxy() {
    let rows: [Row; 9] = [
        (
            "F-01a: GETs while one of three endpoints is killed",
            killed_gets,
        ),
        ("F-01a: POSTs, the same", killed_posts),
        ("F-01c: answers of 1 MiB, the same", killed_answers),
        (
            "F-02: one of three endpoints hangs (a second for a try)",
            hung,
        ),
        ("F-04: GETs, ±5 ms around an idle close", |kind| {
            raced(kind, "GET")
        }),
        ("F-04: POSTs, the same", |kind| raced(kind, "POST")),
        ("F-05: all endpoints refuse", all_down),
        ("F-30: every answer is a 503 that is tried again", storm),
        ("F-41: kills, and clients that leave", crossed),
    ];
    let mut table = String::from("\n| | Tidegate | nginx | HAProxy |\n|---|---|---|---|\n");
    for (name, run) in rows {
        let cells: Vec<_> = KINDS.into_iter().map(run).collect();
        let _ = writeln!(table, "| {name} | {} |", cells.join(" | "));
        println!("{name}: {cells:?}");
    }
    table.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (head, rest) = page.split_once(BEGIN).expect("the place of the figures");
        let (_, tail) = rest.split_once(END).expect("its end");
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    }
}
