//! One side of a TLS connection: rustls, step by step.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, CommonState, ServerConfig};

use super::flow::{Flow, Job, Next};

/// One side of a TLS connection, before its first byte.
pub enum Session {
    /// Ours is the server.
    Server(UnbufferedServerConnection),
    /// Ours is the client.
    Client(UnbufferedClientConnection),
}

impl Session {
    /// The server's side.
    pub fn server(config: &Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        UnbufferedServerConnection::new(Arc::clone(config)).map(Self::Server)
    }

    /// The client's side, towards a server of this name, offering these protocols.
    pub fn client(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Self, rustls::Error> {
        UnbufferedClientConnection::new_with_alpn(Arc::clone(config), name, alpn).map(Self::Client)
    }

    pub(super) fn common(&self) -> &CommonState {
        match self {
            Self::Server(connection) => connection,
            Self::Client(connection) => connection,
        }
    }

    /// Takes one step: how many bytes of `input` it used up, and what is to be done next.
    fn step(
        &mut self,
        input: &mut [u8],
        job: &mut Job<'_>,
        flow: &mut Flow,
    ) -> (usize, Result<Next, rustls::Error>) {
        match self {
            Self::Server(connection) => flow.take(connection.process_tls_records(input), job),
            Self::Client(connection) => flow.take(connection.process_tls_records(input), job),
        }
    }

    /// Steps until nothing is left to do with `input`; how much of it was used up. After an error the alert about it
    /// stands in what is to be sent, and nothing more may be asked.
    pub(super) fn advance(
        &mut self,
        input: &mut [u8],
        job: &mut Job<'_>,
        flow: &mut Flow,
    ) -> Result<usize, rustls::Error> {
        let mut used = 0;
        loop {
            let rest = input.get_mut(used..).unwrap_or_default();
            let (discard, next) = self.step(rest, job, flow);
            used += discard;
            match next {
                Ok(Next::Stop) => return Ok(used),
                // Another step would only say that we may write.
                Ok(Next::Read) if used == input.len() && !self.common().wants_write() => {
                    return Ok(used);
                }
                Ok(Next::Step | Next::Read) => {}
                Err(error) => {
                    while self.common().wants_write() {
                        let rest = input.get_mut(used..).unwrap_or_default();
                        let (discard, next) = self.step(rest, job, flow);
                        used += discard;
                        if next.is_err() {
                            break;
                        }
                    }
                    return Err(error);
                }
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Session(server)",
            Self::Client(_) => "Session(client)",
        })
    }
}
