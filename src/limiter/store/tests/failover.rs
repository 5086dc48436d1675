//! Real Sentinels and a real cluster: whose server dies, another one goes on, and the counts with it.

use std::fs;

use super::*;

/// Servers of one test: they share an address of their own, so that their ports are nobody else's.
struct Servers {
    kind: Kind,
    addr: String,
    dir: PathBuf,
    running: Vec<(u16, Child)>,
}

impl Servers {
    /// `number` tells the tests of this process apart.
    fn new(kind: Kind, number: u8) -> Self {
        let [_, _, b, c] = std::process::id().to_be_bytes();
        let addr = format!("127.{}.{b}.{c}", 200 + 2 * number + kind as u8);
        let dir = std::env::temp_dir().join(format!("tg-redis-{addr}"));
        fs::create_dir_all(&dir).unwrap();
        Self {
            kind,
            addr,
            dir,
            running: Vec::new(),
        }
    }

    /// Starts one more; it answers.
    fn start(&mut self, port: u16, words: &str) {
        let (addr, dir) = (&self.addr, self.dir.display());
        let usual =
            format!("--bind {addr} --protected-mode no --dir {dir} --logfile {dir}/{port}.log");
        let child = self.kind.start(|command| {
            command
                .args(words.split_whitespace())
                .args(usual.split_whitespace())
                .args(["--port", &port.to_string()]);
        });
        self.running.push((port, child));
        wait("a server answers", || {
            self.ask(port, "PING").contains("PONG")
        });
    }

    fn kill(&mut self, port: u16) {
        let at = self.running.iter().position(|(has, _)| *has == port);
        let (_, mut child) = self.running.remove(at.unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What redis-cli says.
    fn ask(&self, port: u16, words: &str) -> String {
        let made = Command::new("redis-cli")
            .args(["-h", &self.addr, "-p", &port.to_string()])
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli is installed (scripts/tools.sh)");
        String::from_utf8_lossy(&made.stdout).into_owned()
    }

    fn store(&self, url: &str) -> Store {
        let url = url.replace("ADDR", &self.addr);
        let store = Store::new(Address::parse(&url, None).unwrap(), Duration::from_secs(1));
        store.start();
        wait("the store answers", || !store.breaker().is_open());
        store
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

const KEYS: u128 = 64;

/// One unit for each key: how many of them may go.
fn passed(store: &Store) -> usize {
    let name = LimiterName::parse("l").unwrap();
    let rule = Rule::new(
        Algorithm::FixedWindow,
        1,
        24 * 3600 * SECOND,
        1,
        Over::Reject,
    )
    .unwrap();
    // A day that does not end meanwhile.
    let now = 20_000 * 24 * 3600 * SECOND + SECOND;
    let outcome = |key| {
        let ticket = store.ask(&name, key, &rule, 1, Some(now))?;
        Some(block_on(ticket.answer())?.outcome == Outcome::Pass)
    };
    let outcomes: Option<Vec<bool>> = (0..KEYS).map(outcome).collect();
    let outcomes = outcomes.expect("every question is answered");
    outcomes.into_iter().filter(|passed| *passed).count()
}

/// Asks until nobody answers any more, and then until every server does again.
fn outlive(store: &Store) {
    let name = LimiterName::parse("other").unwrap();
    let rule = Rule::new(Algorithm::TokenBucket, 50, SECOND, 50, Over::Reject).unwrap();
    let all_answer = || {
        (0..KEYS).all(|key| {
            let ticket = store.ask(&name, key, &rule, 1, None);
            ticket.is_some_and(|ticket| block_on(ticket.answer()).is_some())
        })
    };
    wait("the breaker opens", || {
        all_answer();
        store.breaker().is_open()
    });
    wait("the store is found again", all_answer);
}

with_each_kind! {
    sentinels_name_the_new_master
    a_cluster_is_asked_where_the_keys_are
}

fn sentinels_name_the_new_master(kind: Kind) {
    let mut servers = Servers::new(kind, 0);
    let addr = servers.addr.clone();
    servers.start(6379, "");
    servers.start(
        6380,
        &format!("--replica-announce-ip {addr} --replicaof {addr} 6379"),
    );
    // One that is cut off from the others names a server that is gone.
    for (port, master) in [(26379, 6379), (26380, 1)] {
        let config = servers.dir.join(format!("sentinel-{port}.conf"));
        let text = format!(
            "sentinel monitor shop {addr} {master} 1\nsentinel down-after-milliseconds shop 500\n\
             sentinel failover-timeout shop 3000\n"
        );
        fs::write(&config, text).unwrap();
        servers.start(port, &format!("{} --sentinel", config.display()));
    }
    wait("the Sentinel knows the replica", || {
        servers
            .ask(26379, "SENTINEL replicas shop")
            .contains("6380")
    });
    // The first Sentinel of the URL is none, the second does not know: the next is asked.
    let store = servers.store("redis-sentinel://ADDR:1,ADDR:26380,ADDR/shop");
    assert_eq!(passed(&store), 64);
    replicated(&servers, 6379);
    servers.kill(6379);
    outlive(&store);
    assert!(servers.ask(6380, "ROLE").starts_with("master"));
    assert_eq!(passed(&store), 0, "what was counted is counted");
}

/// Until the replica has all that its master was told. (`WAIT` asks for what its own connection wrote.)
fn replicated(servers: &Servers, master: u16) {
    wait("the replica has all", || {
        let said = servers.ask(master, "INFO replication");
        let behind = |name: &str| said.split_once(name).map(|(_, rest)| rest);
        let number = |text: &str| {
            text.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        };
        let told = behind("master_repl_offset:").map(number);
        let has = behind("slave0:").and_then(|slave| slave.split_once("offset="));
        told.is_some() && told == has.map(|(_, rest)| number(rest))
    });
}

fn a_cluster_is_asked_where_the_keys_are(kind: Kind) {
    let mut servers = Servers::new(kind, 1);
    let addr = servers.addr.clone();
    let ports = [7000, 7001, 7002, 7003];
    for port in ports {
        servers.start(
            port,
            &format!(
                "--cluster-enabled yes --cluster-config-file {port}.conf --cluster-port 1{port} \
                 --cluster-node-timeout 1000 --cluster-announce-ip {addr}"
            ),
        );
    }
    let at = |port: u16| format!("{addr}:{port}");
    let create = format!(
        "--cluster create {} {} {} --cluster-yes",
        at(7000),
        at(7001),
        at(7002)
    );
    let made = servers.ask(7000, &create);
    assert!(made.contains("All 16384 slots covered"), "{made}");
    let master = servers.ask(7000, "CLUSTER MYID");
    servers.ask(7003, &format!("CLUSTER MEET {addr} 7000 17000"));
    wait("the fourth knows the first", || {
        let said = servers.ask(7003, &format!("CLUSTER REPLICATE {master}"));
        said.contains("OK")
    });
    wait("the fourth is a replica of the first", || {
        let said = servers.ask(7003, "INFO replication");
        said.contains("master_link_status:up")
    });
    wait("the cluster is whole", || {
        ports.iter().all(|port| {
            let said = servers.ask(*port, "CLUSTER INFO");
            said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:4")
        })
    });
    let store = servers.store("redis-cluster://ADDR:1,ADDR:7001");
    assert_eq!(passed(&store), 64);
    for port in [7000, 7001, 7002] {
        let size = servers.ask(port, "DBSIZE");
        assert!(size.trim().parse::<u32>().unwrap() > 5, "{port}: {size}");
    }
    for port in [7000, 7001] {
        assert!(servers.ask(port, "SCRIPT FLUSH").contains("OK"));
    }
    assert_eq!(passed(&store), 0);
    assert_eq!(store.breaker().counts().error, 0);
    replicated(&servers, 7000);
    servers.kill(7000);
    outlive(&store);
    assert!(servers.ask(7003, "ROLE").starts_with("master"));
    assert_eq!(passed(&store), 0, "what was counted is counted");
}
