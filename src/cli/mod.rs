//! Words on the command line → a command → an exit code.
//!
//! **Invariants.** Exit codes: 0 fine, 1 failed, 2 bad usage or configuration. What a program may read goes
//! to standard output, what is for people to standard error; a closed pipe ends nothing.
//!
//! **Not here.** What a command does once it runs (`server`, `config`).

mod check;
mod explain;
mod summary;

use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, value_parser};

use crate::config::Color;
use crate::server;
use crate::server::demo::Ports;
use crate::snapshot::question::Question;

/// The words on the command line, or the configuration, are wrong.
pub const REFUSED: u8 = 2;

/// The file that is looked for when none is named.
const DEFAULT_FILE: &str = "tidegate.toml";

#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    about = "A reverse proxy and load balancer",
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 fine, 1 failed, 2 bad usage or configuration."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve what a configuration says, until SIGTERM
    Run {
        /// The configuration [default: tidegate.toml]
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Read a configuration, say everything that is wrong with it and what would run; bind nothing
    Check {
        /// The configuration [default: tidegate.toml]
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Write one JSON object to standard output instead of text
        #[arg(long)]
        json: bool,
    },
    /// Say what would become of one request, and why: from the file alone, with endpoints as at a start
    Explain {
        /// The configuration [default: tidegate.toml]
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// `GET http://host/path`, or the URL alone
        #[arg(long, value_name = "REQUEST")]
        request: String,
        /// A field of the request; may be repeated
        #[arg(long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
        /// The address that the connection comes from
        #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
        client: IpAddr,
        /// The listener [default: the one with the port of the URL, else the first]
        #[arg(long, value_name = "NAME")]
        listener: Option<String>,
        /// Write one JSON object to standard output instead of text
        #[arg(long)]
        json: bool,
    },
    /// Start three small origins and a proxy in front of them, and say what to try
    Demo {
        /// Where the proxy listens, on 127.0.0.1
        #[arg(long, default_value_t = Ports::FIRST.proxy, value_parser = value_parser!(u16).range(1..))]
        port: u16,
        /// Where its admin interface listens, on 127.0.0.1
        #[arg(long, value_name = "PORT", default_value_t = Ports::FIRST.admin, value_parser = value_parser!(u16).range(1..))]
        admin_port: u16,
    },
    /// Say which version this is
    Version,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config } => server::run(&server::Options {
            config: file(config),
            color: color(),
        }),
        Command::Demo { port, admin_port } => {
            let ports = Ports {
                proxy: port,
                admin: admin_port,
            };
            server::demo(ports, color())
        }
        Command::Check { config, json } => {
            let output = if json {
                check::Output::Json
            } else {
                check::Output::Text
            };
            check::run(&file(config), output)
        }
        Command::Explain {
            config,
            request,
            headers,
            client,
            listener,
            json,
        } => {
            let output = if json {
                explain::Output::Json
            } else {
                explain::Output::Text
            };
            let question = Question {
                request: &request,
                headers: &headers,
                client,
                listener: listener.as_deref(),
            };
            explain::run(&file(config), &question, output)
        }
        Command::Version => {
            say(&format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
    }
}

/// The named file, or the one that is looked for, which is said.
fn file(named: Option<PathBuf>) -> PathBuf {
    named.unwrap_or_else(|| {
        tell(&format!("no -c FILE given: reading `{DEFAULT_FILE}`\n"));
        PathBuf::from(DEFAULT_FILE)
    })
}

/// Writes to standard output. Whoever closed it does not want to read on, which is no failure of ours.
fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Writes to standard error.
fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Colour for people at a terminal who have not asked for none (`NO_COLOR`).
fn color() -> Color {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !unwanted {
        Color::Always
    } else {
        Color::Never
    }
}
