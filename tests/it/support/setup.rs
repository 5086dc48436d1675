//! A configuration, put together: one listener `web`, admin, a JSON access log in a file, and what
//! the test adds. Every setup has its own ports and its own directory.

use super::dir::Dir;
use super::ports;
use super::proxy::Proxy;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone)]
pub struct Setup {
    pub web: SocketAddr,
    pub admin: SocketAddr,
    pub dir: Arc<Dir>,
    runtime: BTreeMap<&'static str, String>,
    access: BTreeMap<&'static str, String>,
    listener: Vec<String>,
    routes: Vec<String>,
    clusters: Vec<String>,
    tail: String,
}

/// An endpoint as it stands in a cluster's list.
pub fn endpoint(addr: SocketAddr) -> String {
    format!("\"{addr}\"")
}

pub fn weighted(addr: SocketAddr, weight: u32) -> String {
    format!("{{ address = \"{addr}\", weight = {weight} }}")
}

pub fn backup(addr: SocketAddr) -> String {
    format!("{{ address = \"{addr}\", backup = true }}")
}

impl Setup {
    pub fn new() -> Self {
        let dir = Arc::new(Dir::new());
        let log = dir.file("access.log");
        let mut this = Self {
            web: ports::free(),
            admin: ports::free(),
            dir,
            runtime: BTreeMap::new(),
            access: BTreeMap::new(),
            listener: Vec::new(),
            routes: Vec::new(),
            clusters: Vec::new(),
            tail: String::new(),
        };
        this.runtime.insert("workers", "2".to_owned());
        this.runtime.insert("drain_timeout", "\"10s\"".to_owned());
        this.access.insert("format", "\"json\"".to_owned());
        this.access.insert(
            "output",
            format!("{{ file = {{ path = \"{}\" }} }}", log.display()),
        );
        this
    }

    /// One cluster `app` of these endpoints and one route `all` to it.
    pub fn over(addrs: &[SocketAddr]) -> Self {
        let list: Vec<_> = addrs.iter().copied().map(endpoint).collect();
        Self::new()
            .cluster("app", &list, "")
            .route("all", "cluster = \"app\"")
    }

    /// [`Setup::over`] with more keys in the cluster (and its tables after them).
    pub fn over_with(addrs: &[SocketAddr], keys: &str) -> Self {
        let list: Vec<_> = addrs.iter().copied().map(endpoint).collect();
        Self::new()
            .cluster("app", &list, keys)
            .route("all", "cluster = \"app\"")
    }

    /// The same place as another setup: a second configuration for the same process.
    pub fn at(mut self, other: &Self) -> Self {
        (self.web, self.admin) = (other.web, other.admin);
        self.dir = Arc::clone(&other.dir);
        self.access.clone_from(&other.access);
        self
    }

    pub fn runtime(mut self, key: &'static str, value: impl Display) -> Self {
        self.runtime.insert(key, value.to_string());
        self
    }

    pub fn workers(self, count: usize) -> Self {
        self.runtime("workers", count)
    }

    /// A key of `[log.access]`.
    pub fn access(mut self, key: &'static str, value: impl Display) -> Self {
        self.access.insert(key, value.to_string());
        self
    }

    /// Keys of the listener `web`.
    pub fn listener(mut self, keys: &str) -> Self {
        self.listener.push(keys.to_owned());
        self
    }

    pub fn route(mut self, name: &str, keys: &str) -> Self {
        self.routes
            .push(format!("[[routes]]\nname = \"{name}\"\n{keys}\n"));
        self
    }

    pub fn cluster(mut self, name: &str, endpoints: &[String], keys: &str) -> Self {
        let endpoints = endpoints.join(", ");
        self.clusters.push(format!(
            "[clusters.{name}]\nendpoints = [{endpoints}]\n{keys}\n"
        ));
        self
    }

    pub fn without_routes(mut self) -> Self {
        self.routes.clear();
        self
    }

    pub fn without_clusters(mut self) -> Self {
        self.clusters.clear();
        self
    }

    /// Anything else, at the end of the file.
    pub fn tail(mut self, text: &str) -> Self {
        self.tail.push_str(text);
        self.tail.push('\n');
        self
    }

    /// The same with another text in what [`Setup::tail`] has added.
    pub fn replace(mut self, from: &str, to: &str) -> Self {
        assert!(self.tail.contains(from), "{}", self.tail);
        self.tail = self.tail.replace(from, to);
        self
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.file("access.log")
    }

    pub fn config_path(&self) -> PathBuf {
        self.dir.file("tidegate.toml")
    }

    pub fn text(&self) -> String {
        let mut text = String::from("[runtime]\n");
        for (key, value) in &self.runtime {
            let _ = writeln!(text, "{key} = {value}");
        }
        let _ = writeln!(
            text,
            "\n[admin]\nbind = \"{}\"\n\n[log]\nlevel = \"info\"",
            self.admin
        );
        text.push_str("\n[log.access]\n");
        for (key, value) in &self.access {
            let _ = writeln!(text, "{key} = {value}");
        }
        let _ = writeln!(
            text,
            "\n[[listeners]]\nname = \"web\"\nbind = [\"{}\"]\nprotocol = \"http\"\n{}\n",
            self.web,
            self.listener.join("\n")
        );
        for part in self.routes.iter().chain(&self.clusters) {
            text.push_str(part);
            text.push('\n');
        }
        text + &self.tail
    }

    /// Writes the file; whole or not at all, as an operator's tool would.
    pub fn write(&self) {
        let part = self.dir.file("tidegate.toml.part");
        std::fs::write(&part, self.text()).expect("configuration");
        std::fs::rename(part, self.config_path()).expect("configuration");
    }

    #[track_caller]
    pub fn start(&self) -> Proxy {
        Proxy::start(self)
    }
}
