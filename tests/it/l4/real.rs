//! Programs that speak their own protocols, from Debian's packages, do not notice that somebody is between.

use super::tcp_over;
use crate::support::dns::{Dns, Reply};
use crate::support::{eventually, ports};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A server that ends with the test.
struct Server(Child);

impl Server {
    fn start(mut command: Command, addr: SocketAddr) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} (scripts/tools.sh): {error}"));
        eventually("the server listens", || TcpStream::connect(addr).ok());
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn well(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    text
}

#[test]
fn redis_is_benchmarked_through_it() {
    let addr = ports::free();
    let mut command = Command::new("redis-server");
    let port = addr.port().to_string();
    command.args([
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]);
    let _server = Server::start(command, addr);
    let (setup, raw) = tcp_over(&[addr], "", "");
    let proxy = setup.start();
    let run = |arguments: &[&str]| {
        let port = raw.port().to_string();
        let mut command = Command::new("redis-benchmark");
        command
            .args(["-h", "127.0.0.1", "-p", &port, "--csv"])
            .args(arguments);
        well(
            &command
                .output()
                .expect("redis-benchmark (scripts/tools.sh)"),
        )
    };
    let text = run(&["-t", "set,get,lpush", "-n", "5000", "-c", "20", "-P", "4"]);
    assert_eq!(text.lines().count(), 4, "{text}");
    // Values of 200 KB: bulk both ways.
    run(&["-t", "set,get", "-n", "200", "-c", "4", "-d", "200000"]);
    proxy.wait_metric("tidegate_l4_sessions_active", &[], |active| active == 0.0);
    let log = proxy.wait_log(40);
    for line in log {
        assert!(
            ["completed", "client_abort"].contains(&line["reason"].as_str().unwrap()),
            "{line}"
        );
    }
}

/// Where Debian keeps the programs of the database server.
fn postgres_programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("postgresql (scripts/tools.sh)");
    let newest = versions.flatten().map(|entry| entry.path()).max();
    newest.expect("postgresql (scripts/tools.sh)").join("bin")
}

/// The database refuses to run as root.
fn nobody(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
            .arg(program);
        command
    } else {
        Command::new(program)
    }
}

#[test]
fn postgresql_is_benchmarked_through_it_with_and_without_tls() {
    let programs = postgres_programs();
    let place = crate::support::dir::Dir::new();
    let home = place.file("pg");
    std::fs::create_dir(&home).unwrap();
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    };
    open(home.parent().unwrap());
    open(&home);
    let base = home.join("base");
    let mut initdb = nobody(&programs.join("initdb"));
    initdb
        .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
        .arg(&base);
    well(&initdb.output().expect("initdb"));
    let authority = crate::support::tls::Authority::new("Test Authority");
    let issued = authority.issue(&["db.example.com"]);
    let mut files = nobody(Path::new("/bin/sh"));
    // Made by who runs the server: it looks at the owner of its key.
    files.args([
        "-c",
        "umask 077; printf %s \"$2\" >\"$1/server.crt\"; printf %s \"$3\" >\"$1/server.key\"",
        "sh",
    ]);
    files.arg(&base).args([&issued.chain, &issued.key]);
    well(&files.output().expect("sh"));
    let addr = ports::free();
    let mut server = nobody(&programs.join("postgres"));
    let port = addr.port().to_string();
    server
        .arg("-D")
        .arg(&base)
        .args(["-h", "127.0.0.1", "-p", &port, "-k"])
        .arg(&home);
    server.args(["-c", "fsync=off", "-c", "ssl=on"]);
    let _server = Server::start(server, addr);
    let (setup, raw) = tcp_over(&[addr], "", "");
    let proxy = setup.start();
    let bench = |mode: &str, arguments: &[&str]| {
        let mut command = Command::new(programs.join("pgbench"));
        let port = raw.port().to_string();
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"]);
        command
            .args(arguments)
            .arg("postgres")
            .env("PGSSLMODE", mode);
        let mut output = None;
        eventually("postgresql answers", || {
            let ran = command.output().expect("pgbench");
            // It says that it is starting up for a moment.
            let early = String::from_utf8_lossy(&ran.stderr).contains("starting up");
            output = Some(ran);
            (!early).then_some(())
        });
        well(&output.expect("an output"))
    };
    bench("disable", &["-i", "-q"]);
    for mode in ["disable", "require"] {
        let text = bench(mode, &["-c", "4", "-j", "2", "-t", "25"]);
        assert!(
            text.contains("transactions actually processed: 100/100"),
            "{mode}: {text}"
        );
    }
    for line in proxy.log() {
        // A server that has ended while the client's farewell under TLS is on its way resets: both have all they need.
        let fine = ["completed", "client_abort", "upstream_truncated"];
        assert!(fine.contains(&line["reason"].as_str().unwrap()), "{line}");
    }
}

/// Over both transports at one address, as servers of DNS have them.
#[test]
fn dig_is_answered_over_udp_and_tcp() {
    let server = Dns::start();
    server.also_over_tcp();
    let many = (1..=20).map(|last| Ipv4Addr::new(192, 0, 2, last));
    server.say("many.test", Reply::A(many.clone().collect(), 60));
    server.say("gone.test", Reply::NxDomain);
    let (setup, raw) = tcp_over(&[server.addr], "", "");
    let setup = setup.tail(&format!(
        "[[listeners]]\nname = \"dns\"\nbind = [\"{raw}\"]\nprotocol = \"udp\"\ncluster = \"app\"\nudp = {{ responses = 1 }}\n"
    ));
    let proxy = setup.start();
    let dig = |arguments: &[&str]| {
        let mut command = Command::new("dig");
        let port = raw.port().to_string();
        command.args(["@127.0.0.1", "-p", &port, "+noedns", "+tries=1"]);
        let output = command.args(arguments).output();
        well(&output.expect("dig (scripts/tools.sh)"))
    };
    for transport in ["+notcp", "+tcp"] {
        let found = dig(&[transport, "+short", "many.test", "A"]);
        let mut found: Vec<Ipv4Addr> = found.lines().map(|line| line.parse().unwrap()).collect();
        found.sort();
        assert_eq!(found, many.clone().collect::<Vec<_>>(), "{transport}");
        let told = dig(&[transport, "gone.test", "A"]);
        assert!(told.contains("status: NXDOMAIN"), "{told}");
    }
    let lines = proxy.wait_log(4);
    let over = |word: &str| lines.iter().filter(|line| line["protocol"] == word).count();
    assert_eq!((over("udp"), over("tcp")), (2, 2), "{lines:?}");
    assert!(
        lines.iter().all(|line| line["reason"] == "completed"),
        "{lines:?}"
    );
}
