//! One side of a TLS connection: rustls, step by step, and behind its handshake our own records.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, CommonState, Error, ProtocolVersion, ServerConfig};

use super::flow::{Flow, Job, Next};
use super::records::{Records, Side};

/// One side of a TLS connection.
pub struct Session {
    stage: Stage,
    secrets: Secrets,
}

/// Who makes its records.
enum Stage {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
    /// TLS 1.3, and the handshake is done.
    Own(Records),
    /// Nobody any more.
    Lost,
}

/// Whether rustls hands its secrets out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Secrets {
    Given,
    Kept,
}

impl From<bool> for Secrets {
    fn from(extraction: bool) -> Self {
        if extraction { Self::Given } else { Self::Kept }
    }
}

impl Session {
    /// The server's side, before its first byte.
    pub fn server(config: &Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Self {
            stage: Stage::Server(Box::new(connection)),
            secrets: config.enable_secret_extraction.into(),
        })
    }

    /// The client's side, towards a server of this name, offering these protocols, before its first byte.
    pub fn client(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Self, Error> {
        let connection = UnbufferedClientConnection::new_with_alpn(Arc::clone(config), name, alpn)?;
        Ok(Self {
            stage: Stage::Client(Box::new(connection)),
            secrets: config.enable_secret_extraction.into(),
        })
    }

    /// What rustls knows of it, as long as it makes the records.
    pub(super) fn common(&self) -> Option<&CommonState> {
        match &self.stage {
            Stage::Server(connection) => Some(connection),
            Stage::Client(connection) => Some(connection),
            Stage::Own(_) | Stage::Lost => None,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.common().is_some_and(CommonState::is_handshaking)
    }

    /// Makes the records from now on, if the handshake of TLS 1.3 is done. Nothing may be left of what was read: rustls knows what it
    /// has opened of that.
    #[inline]
    pub(super) fn take_over(&mut self) -> Result<(), Error> {
        match &self.stage {
            Stage::Own(_) => Ok(()),
            _ => self.hand_over(),
        }
    }

    fn hand_over(&mut self) -> Result<(), Error> {
        let ours = |common: &CommonState| {
            let version = common.protocol_version();
            version == Some(ProtocolVersion::TLSv1_3)
                && !common.is_handshaking()
                && !common.wants_write()
        };
        if self.secrets == Secrets::Kept || !self.common().is_some_and(ours) {
            return Ok(());
        }
        let (secrets, side) = match std::mem::replace(&mut self.stage, Stage::Lost) {
            Stage::Server(connection) => {
                let (secrets, kept) = connection.dangerous_into_kernel_connection()?;
                (secrets, Side::Server(Box::new(kept)))
            }
            Stage::Client(connection) => {
                let (secrets, kept) = connection.dangerous_into_kernel_connection()?;
                (secrets, Side::Client(Box::new(kept)))
            }
            Stage::Own(_) | Stage::Lost => return Ok(()),
        };
        self.stage = Stage::Own(Records::new(secrets, side)?);
        Ok(())
    }

    /// Takes one step: how many bytes of `input` it used up, and what is to be done next.
    fn step(
        &mut self,
        input: &mut [u8],
        job: &mut Job<'_>,
        flow: &mut Flow,
    ) -> (usize, Result<Next, Error>) {
        match &mut self.stage {
            Stage::Server(connection) => flow.take(connection.process_tls_records(input), job),
            Stage::Client(connection) => flow.take(connection.process_tls_records(input), job),
            Stage::Own(_) | Stage::Lost => (0, Err(Error::HandshakeNotComplete)),
        }
    }

    /// Steps until nothing is left to do with `input`; how much of it was used up. After an error the alert about it
    /// stands in what is to be sent, and nothing more may be asked.
    pub(super) fn advance(
        &mut self,
        input: &mut [u8],
        job: &mut Job<'_>,
        flow: &mut Flow,
    ) -> Result<usize, Error> {
        match &mut self.stage {
            Stage::Own(records) => records.advance(input, job, flow),
            _ => self.walk(input, job, flow),
        }
    }

    fn wants_write(&self) -> bool {
        self.common().is_some_and(CommonState::wants_write)
    }

    fn walk(
        &mut self,
        input: &mut [u8],
        job: &mut Job<'_>,
        flow: &mut Flow,
    ) -> Result<usize, Error> {
        let mut used = 0;
        loop {
            let rest = input.get_mut(used..).unwrap_or_default();
            let (discard, next) = self.step(rest, job, flow);
            used += discard;
            match next {
                Ok(Next::Stop) => return Ok(used),
                // Another step would only say that we may write.
                Ok(Next::Read) if used == input.len() && !self.wants_write() => {
                    return Ok(used);
                }
                Ok(Next::Step | Next::Read) => {}
                Err(error) => {
                    while self.wants_write() {
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

#[cfg(test)]
impl Session {
    pub(super) fn records(&mut self) -> Option<&mut Records> {
        match &mut self.stage {
            Stage::Own(records) => Some(records),
            _ => None,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Server(_) => "Session(server)",
            Stage::Client(_) => "Session(client)",
            Stage::Own(_) => "Session(records)",
            Stage::Lost => "Session(lost)",
        })
    }
}
