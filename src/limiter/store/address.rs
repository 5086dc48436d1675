//! The URL of a store → where it is, and connections to it.
//!
//! A connection is made to one server, to the master that Sentinels name at that moment, or to all masters of a cluster.
//! Whichever it is: when it breaks it is made anew from the beginning, and so after a failover the new master is found.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, RedisResult, TlsCertificates, Value,
};

/// How long a connection may take to be made, and what is done with it before questions are put.
const CONNECT: Duration = Duration::from_secs(1);
/// How long one Sentinel may take to say who the master is: the next one may know.
const NAMED: Duration = Duration::from_millis(250);

/// Questions that leave together for one server.
const BATCH: usize = 256;

/// Where a store is.
#[derive(Clone)]
pub enum Address {
    /// One server.
    One(Box<Client>),
    /// The master that Sentinels name.
    Sentinels(Arc<Sentinels>),
    /// The masters of a cluster.
    Cluster(Box<ClusterClient>),
}

/// Those who know the master.
pub struct Sentinels {
    nodes: Vec<Client>,
    /// What they call it.
    master: Box<str>,
    /// What stands before its address in a URL, and behind it.
    login: Box<str>,
    database: Box<str>,
    way: Way,
}

/// How the servers of a store are spoken to.
#[derive(Clone)]
enum Way {
    Plain,
    /// Under TLS; without certificates, those that the system trusts are trusted.
    Tls(Option<TlsCertificates>),
}

impl Way {
    const fn scheme(&self) -> &'static str {
        match self {
            Self::Plain => "redis",
            Self::Tls(_) => "rediss",
        }
    }

    fn client(&self, url: &str) -> RedisResult<Client> {
        match self {
            Self::Tls(Some(tls)) => Client::build_with_tls(url, tls.clone()),
            Self::Plain | Self::Tls(None) => Client::open(url),
        }
    }
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wrong {
    /// Files for TLS beside a URL without it.
    Plain,
    /// Sentinels without the name of a master.
    Master,
    /// Anything else.
    Url,
}

impl Address {
    /// Reads a URL. What the library says of it may repeat it, and with it a password: that is not passed on.
    pub fn parse(url: &str, tls: Option<TlsCertificates>) -> Result<Self, Wrong> {
        let (scheme, rest) = url.split_once("://").ok_or(Wrong::Url)?;
        let way = match (scheme, tls) {
            ("rediss" | "rediss-sentinel" | "rediss-cluster", tls) => Way::Tls(tls),
            (_, None) => Way::Plain,
            (_, Some(_)) => return Err(Wrong::Plain),
        };
        // To the library a fragment says that nobody's certificate is looked at.
        if rest.contains('#') {
            return Err(Wrong::Url);
        }
        match scheme {
            "redis" | "rediss" | "redis+unix" | "unix" => {
                client(&way, url).map(Box::new).map(Self::One)
            }
            "redis-sentinel" | "rediss-sentinel" => Sentinels::parse(rest, way)
                .map(Arc::new)
                .map(Self::Sentinels),
            "redis-cluster" | "rediss-cluster" => {
                let Several { login, hosts, rest } = several(rest)?;
                if !matches!(rest, "" | "/" | "/0") {
                    // A cluster has one database.
                    return Err(Wrong::Url);
                }
                let scheme = way.scheme();
                let nodes = hosts
                    .iter()
                    .map(|host| format!("{scheme}://{login}{}", at(host, 6379)));
                let mut builder = ClusterClient::builder(nodes)
                    .connection_timeout(CONNECT)
                    // One other server may have to be asked: the key has moved.
                    .retries(1)
                    .max_retry_wait(1);
                if let Way::Tls(Some(tls)) = way {
                    builder = builder.certs(tls);
                }
                builder
                    .build()
                    .map(|client| Self::Cluster(Box::new(client)))
                    .map_err(|_| Wrong::Url)
            }
            _ => Err(Wrong::Url),
        }
    }

    /// Makes a connection that has the script; `timeout` is for each question afterwards.
    pub(super) async fn connect(
        &self,
        script: &str,
        timeout: Duration,
    ) -> RedisResult<(Connection, String)> {
        match self {
            Self::One(client) => {
                let server = to(client, CONNECT).await?;
                Connection::loaded(server, script, timeout).await
            }
            Self::Sentinels(sentinels) => {
                let master = sentinels.master().await?;
                Connection::loaded(master, script, timeout).await
            }
            Self::Cluster(client) => {
                let config = redis::cluster::ClusterConfig::new()
                    .set_connection_timeout(CONNECT)
                    .set_response_timeout(timeout);
                let cluster = client.get_async_connection_with_config(config).await?;
                let mut cluster = Connection::Cluster(cluster);
                let digest = cluster.load(script).await?;
                Ok((cluster, digest))
            }
        }
    }
}

impl Sentinels {
    fn parse(rest: &str, way: Way) -> Result<Self, Wrong> {
        let Several { login, hosts, rest } = several(rest)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let own = match query.split_once('=') {
            None if query.is_empty() => String::new(),
            Some(("sentinel_login", own)) => format!("{own}@"),
            _ => return Err(Wrong::Url),
        };
        let path = path.strip_prefix('/').ok_or(Wrong::Master)?;
        let (master, database) = path.split_once('/').unwrap_or((path, "0"));
        // What Sentinel takes for a name.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if master.is_empty() || !master.bytes().all(sound) {
            return Err(Wrong::Master);
        }
        let nodes = hosts.iter().map(|host| {
            client(
                &way,
                &format!("{}://{own}{}", way.scheme(), at(host, 26379)),
            )
        });
        let sentinels = Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            master: master.into(),
            login: login.into(),
            database: database.into(),
            way,
        };
        // What cannot be spelled is found here, not when a master is.
        sentinels
            .client("127.0.0.1", 6379)
            .map_err(|_| Wrong::Url)?;
        Ok(sentinels)
    }

    fn client(&self, host: &str, port: u16) -> RedisResult<Client> {
        let (login, database) = (&self.login, &self.database);
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let scheme = self.way.scheme();
        self.way
            .client(&format!("{scheme}://{login}{host}:{port}/{database}"))
    }

    /// A connection to the master. A Sentinel may not have heard of the newest one yet, or may be cut off from the others: then
    /// the next is asked.
    async fn master(&self) -> RedisResult<MultiplexedConnection> {
        let mut last = wrong("no Sentinel answers in time");
        for node in &self.nodes {
            let found = match tokio::time::timeout(NAMED, self.named(node)).await {
                Ok(Ok(client)) => master(&client).await,
                Ok(Err(error)) => Err(error),
                Err(_) => continue,
            };
            match found {
                Ok(server) => return Ok(server),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn named(&self, node: &Client) -> RedisResult<Client> {
        let mut sentinel = to(node, NAMED).await?;
        let mut ask = Cmd::new();
        ask.arg("SENTINEL")
            .arg("get-master-addr-by-name")
            .arg(&*self.master);
        let (host, port): (String, u16) = ask.query_async(&mut sentinel).await?;
        self.client(&host, port)
    }
}

/// A connection that questions are put over.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn loaded(
        server: MultiplexedConnection,
        script: &str,
        timeout: Duration,
    ) -> RedisResult<(Self, String)> {
        let mut loaded = Self::One(server);
        let digest = loaded.load(script).await?;
        if let Self::One(server) = &mut loaded {
            server.set_response_timeout(timeout);
        }
        Ok((loaded, digest))
    }

    /// Gives it the script, all masters of a cluster, and says what the script is called there.
    pub(super) async fn load(&mut self, script: &str) -> RedisResult<String> {
        let mut load = Cmd::new();
        load.arg("SCRIPT").arg("LOAD").arg(script);
        match self {
            Self::One(server) => load.query_async(server).await,
            Self::Cluster(cluster) => load.query_async(cluster).await,
        }
    }

    /// How many questions may leave together: in a cluster each goes where its key is.
    pub(super) const fn batch(&self) -> usize {
        match self {
            Self::One(_) => BATCH,
            Self::Cluster(_) => 1,
        }
    }

    /// Puts a batch of questions; the answers come in their order, and what a server refuses is an answer.
    pub(super) async fn put(&mut self, questions: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        match self {
            Self::One(server) => {
                let mut pipeline = Pipeline::with_capacity(questions.len());
                let count = questions.len();
                for question in questions {
                    pipeline.add_command(question);
                }
                let answers = server.send_packed_commands(&pipeline, 0, count).await?;
                if answers.len() != count {
                    return Err(wrong("not one answer for each question"));
                }
                Ok(answers)
            }
            Self::Cluster(cluster) => {
                let mut answers = Vec::with_capacity(questions.len());
                for question in &questions {
                    let answer = cluster.req_packed_command(question).await;
                    answers.push(match answer {
                        Ok(answer) => answer,
                        Err(error) => Value::ServerError(error.try_into()?),
                    });
                }
                Ok(answers)
            }
        }
    }
}

/// A connection to a server that agrees that it is a master.
async fn master(client: &Client) -> RedisResult<MultiplexedConnection> {
    let mut server = to(client, CONNECT).await?;
    let role: Vec<Value> = Cmd::new().arg("ROLE").query_async(&mut server).await?;
    match role.first() {
        Some(Value::BulkString(said)) if said == b"master" => Ok(server),
        _ => Err(wrong("the Sentinels name a server that is no master")),
    }
}

async fn to(client: &Client, timeout: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

fn client(way: &Way, url: &str) -> Result<Client, Wrong> {
    way.client(url).map_err(|_| Wrong::Url)
}

fn wrong(message: &'static str) -> RedisError {
    RedisError::from((redis::ErrorKind::Client, message))
}

/// `[login@]host[,host …]rest`: the library knows one host in a URL.
struct Several<'u> {
    /// With its `@`.
    login: &'u str,
    hosts: Vec<&'u str>,
    rest: &'u str,
}

fn several(text: &str) -> Result<Several<'_>, Wrong> {
    let end = text.find(['/', '?']).unwrap_or(text.len());
    let (authority, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let start = authority.rfind('@').map_or(0, |at| at + 1);
    let (login, hosts) = authority.split_at_checked(start).unwrap_or(("", authority));
    let hosts: Vec<_> = hosts.split(',').collect();
    if hosts.iter().any(|host| host.is_empty()) {
        return Err(Wrong::Url);
    }
    Ok(Several { login, hosts, rest })
}

/// A host with its port, or with the usual one.
fn at(host: &str, port: u16) -> String {
    let behind = host.rfind(']').unwrap_or(0);
    if host.get(behind..).is_some_and(|host| host.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_servers_sentinels_and_clusters() {
        let parse = |url| Address::parse(url, None);
        for url in [
            "redis://127.0.0.1",
            "rediss://u:p@r:1/2",
            "unix:///run/redis.sock",
            "redis://u:p@r:1/2",
        ] {
            assert!(matches!(parse(url), Ok(Address::One(_))), "{url}");
        }
        for (url, nodes, master, database) in [
            ("redis-sentinel://a,b:1,[::1]/shop", 3, "shop", "0"),
            ("redis-sentinel://u:p%40@a/my.shop/2", 1, "my.shop", "2"),
            ("redis-sentinel://a/shop?sentinel_login=:p", 1, "shop", "0"),
            ("rediss-sentinel://a,b/shop", 2, "shop", "0"),
        ] {
            let Ok(Address::Sentinels(found)) = parse(url) else {
                panic!("{url}");
            };
            assert_eq!(found.nodes.len(), nodes);
            assert_eq!((&*found.master, &*found.database), (master, database));
            assert!(found.client("::1", 6379).is_ok());
        }
        for url in [
            "redis-cluster://a",
            "redis-cluster://u:p@a:1,b:2/0",
            "redis-cluster://[::1]",
            "rediss-cluster://a",
        ] {
            assert!(matches!(parse(url), Ok(Address::Cluster(_))), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        for (url, wrong) in [
            ("rediss://a/#insecure", Wrong::Url),
            ("valkeys://a", Wrong::Url),
            ("redis-sentinel://a", Wrong::Master),
            ("redis-sentinel://a/", Wrong::Master),
            ("redis-sentinel://a/a b", Wrong::Master),
            ("redis-sentinel://a,/shop", Wrong::Url),
            ("redis-sentinel://a/shop/x", Wrong::Url),
            ("redis-sentinel://a/shop?x=1", Wrong::Url),
            ("redis-cluster://", Wrong::Url),
            ("redis-cluster://a/1", Wrong::Url),
            ("http://a", Wrong::Url),
            ("a", Wrong::Url),
        ] {
            assert_eq!(Address::parse(url, None).err(), Some(wrong), "{url}");
        }
        let files = TlsCertificates {
            client_tls: None,
            root_cert: None,
        };
        let plain = Address::parse("redis://a", Some(files));
        assert_eq!(plain.err(), Some(Wrong::Plain));
    }
}
