//! Records of a TLS 1.3 connection whose handshake is done.
//!
//! rustls shakes hands and keeps the secrets; the records themselves are opened where they were read and sealed where they are sent
//! from, without a copy or an allocation. What stands in records besides data is little (RFC 8446, 4.6 and 6): alerts, new keys, and
//! tickets for a client.
//!
//! **Invariants.** What was said stands in [`Flow::out`] in the order in which it was sealed. After an error there is nothing but the
//! alert about it.
//!
//! **Not here.** TLS 1.2, and connections whose configuration keeps rustls from handing out secrets: they stay with rustls.

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, HandshakeType, InvalidMessage,
    PeerMisbehaved, SupportedCipherSuite,
};

use super::flow::{Flow, Job};
use super::key::{HEADER, Key, Kind, MORE, TAG};
use super::{RECORD, place_for};

/// What a sealed record may be longer than what is in it (RFC 8446, 5.2).
const EXPANSION: usize = 256;
/// Most bytes of one message behind the handshake: a ticket is shorter.
const MESSAGE: usize = 64 << 10;
/// So many records without data may come in a row: new keys and tickets cost more to take in than to send.
const IDLE_TALK: u8 = 32;
/// Records that are left to a key when the next one is agreed on: that takes one, too.
const SPARE: u64 = 8;

/// Whose side of the handshake was ours: rustls keeps its secrets.
pub(super) enum Side {
    Server(Box<KernelConnection<ServerConnectionData>>),
    Client(Box<KernelConnection<ClientConnectionData>>),
}

impl Side {
    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Server(kept) => kept.negotiated_cipher_suite(),
            Self::Client(kept) => kept.negotiated_cipher_suite(),
        }
    }

    fn next_sealing(&mut self) -> Result<Key, Error> {
        Key::new(match self {
            Self::Server(kept) => kept.update_tx_secret()?,
            Self::Client(kept) => kept.update_tx_secret()?,
        })
    }

    fn next_opening(&mut self) -> Result<Key, Error> {
        Key::new(match self {
            Self::Server(kept) => kept.update_rx_secret()?,
            Self::Client(kept) => kept.update_rx_secret()?,
        })
    }
}

/// Both directions of one connection.
pub(super) struct Records {
    side: Side,
    sealing: Key,
    opening: Key,
    /// So many records may be sealed by one key (RFC 8446, 5.5).
    most: u64,
    /// The beginning of a message that goes on in the next record.
    message: Vec<u8>,
    /// How many more records without data may come.
    talk: u8,
    /// Whether we said that nothing more follows, or why.
    silent: bool,
}

impl Records {
    pub(super) fn new(secrets: ExtractedSecrets, side: Side) -> Result<Self, Error> {
        let most = match side.suite() {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(_) => return Err(Error::HandshakeNotComplete),
        };
        Ok(Self {
            side,
            sealing: Key::new(secrets.tx)?,
            opening: Key::new(secrets.rx)?,
            most,
            message: Vec::new(),
            talk: IDLE_TALK,
            silent: false,
        })
    }

    /// Does what it is told; how much of `input` was used up. After an error the alert about it stands in what is to be sent.
    pub(super) fn advance(
        &mut self,
        input: &mut [u8],
        job: &mut Job<'_>,
        flow: &mut Flow,
    ) -> Result<usize, Error> {
        match job {
            Job::Read { .. } => self.read(input, job, flow).inspect_err(|error| {
                if let Some(alert) = alert(error) {
                    // What cannot be sealed is not said: then nothing can.
                    let _ = self.say(&mut flow.out, Kind::Alert, &[2, alert.into()]);
                }
                self.silent = true;
            }),
            Job::Write { .. } if self.silent => Ok(0),
            Job::Write {
                first,
                second,
                place,
                at,
            } => self.write(first, second, place, at).map(|()| 0),
            Job::Close => {
                let alert = AlertDescription::CloseNotify;
                let said = self.say(&mut flow.out, Kind::Alert, &[1, alert.into()]);
                self.silent = true;
                said.map(|()| 0)
            }
        }
    }

    fn write(
        &mut self,
        mut first: &[u8],
        mut second: &[u8],
        place: &mut Vec<u8>,
        at: &mut usize,
    ) -> Result<(), Error> {
        while !first.is_empty() || !second.is_empty() {
            if self.sealing.used() >= self.most.saturating_sub(SPARE) {
                let length = MORE + NOTICE.len();
                let notice = place_for(place, *at, length);
                self.sealing.seal(Kind::Handshake, &NOTICE, &[], notice)?;
                *at += length;
                self.sealing = self.side.next_sealing()?;
            }
            let (front, later) = first.split_at(first.len().min(RECORD));
            let (behind, last) = second.split_at(second.len().min(RECORD - front.len()));
            let length = MORE + front.len() + behind.len();
            let record = place_for(place, *at, length);
            self.sealing.seal(Kind::Data, front, behind, record)?;
            *at += length;
            (first, second) = (later, last);
        }
        Ok(())
    }

    /// Adds one more record to what waits to be sent.
    fn say(&mut self, out: &mut Vec<u8>, kind: Kind, what: &[u8]) -> Result<(), Error> {
        if self.silent {
            return Ok(());
        }
        let at = out.len();
        let record = place_for(out, at, MORE + what.len());
        self.sealing
            .seal(kind, what, &[], record)
            .inspect_err(|_| out.truncate(at))
    }

    /// Opens all records that are whole.
    fn read(
        &mut self,
        input: &mut [u8],
        job: &mut Job<'_>,
        flow: &mut Flow,
    ) -> Result<usize, Error> {
        let whole = input.len();
        let mut rest = input;
        while !flow.ended {
            let left = rest.len();
            let Some((header, behind)) = rest.split_first_chunk_mut() else {
                return Ok(whole - left);
            };
            let header: [u8; HEADER] = *header;
            let length = sealed_length(header)?;
            let Some((sealed, later)) = behind.split_at_mut_checked(length) else {
                return Ok(whole - left);
            };
            let (kind, opened) = self.opening.open(header, sealed)?;
            self.take(kind, opened, job, flow)?;
            rest = later;
        }
        // What is behind the end says nothing (RFC 8446, 6.1).
        Ok(whole)
    }

    /// Takes in what a record carried.
    fn take(
        &mut self,
        kind: Option<Kind>,
        opened: &[u8],
        job: &mut Job<'_>,
        flow: &mut Flow,
    ) -> Result<(), Error> {
        // A message that goes on in the next record goes on in the next record (RFC 8446, 5.1).
        if !self.message.is_empty() && kind != Some(Kind::Handshake) {
            return Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
        }
        if kind == Some(Kind::Data) && !opened.is_empty() {
            self.talk = IDLE_TALK;
            flow.receive(opened, job);
            return Ok(());
        }
        self.talk = self
            .talk
            .checked_sub(1)
            .ok_or(PeerMisbehaved::TooManyEmptyFragments)?;
        match kind {
            Some(Kind::Data) => Ok(()),
            Some(Kind::Alert) => self.heard(opened, flow),
            Some(Kind::Handshake) => self.messages(opened, flow),
            None => Err(PeerMisbehaved::IllegalTlsInnerPlaintext.into()),
        }
    }

    /// An alert. Its level says nothing (RFC 8446, 6): every one is the end, but for a word about an end to come.
    fn heard(&mut self, alert: &[u8], flow: &mut Flow) -> Result<(), Error> {
        let [_, alert] = *alert else {
            return Err(InvalidMessage::MissingData("alert").into());
        };
        match AlertDescription::from(alert) {
            AlertDescription::CloseNotify => {
                flow.ended = true;
                Ok(())
            }
            AlertDescription::UserCanceled => Ok(()),
            alert => {
                // Who said why it goes is told nothing.
                self.silent = true;
                Err(Error::AlertReceived(alert))
            }
        }
    }

    /// Messages of the handshake's kind, in a row, the last of which may be in parts.
    fn messages(&mut self, opened: &[u8], flow: &mut Flow) -> Result<(), Error> {
        if opened.is_empty() {
            return Err(InvalidMessage::InvalidEmptyPayload.into());
        }
        let mut kept = std::mem::take(&mut self.message);
        let mut rest = opened;
        if !kept.is_empty() {
            kept.extend_from_slice(opened);
            rest = &kept;
        }
        while let [kind, a, b, c, behind @ ..] = rest {
            let (kind, length) = (
                HandshakeType::from(*kind),
                u32::from_be_bytes([0, *a, *b, *c]) as usize,
            );
            self.admits(kind, length)?;
            let Some((message, later)) = behind.split_at_checked(length) else {
                break;
            };
            match (&mut self.side, kind) {
                (Side::Client(kept), HandshakeType::NewSessionTicket) => {
                    kept.handle_new_session_ticket(message)?;
                }
                _ if later.is_empty() => self.renew(message, flow)?,
                _ => return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into()),
            }
            rest = later;
        }
        self.message = match rest.len() {
            0 => Vec::new(),
            left if left == kept.len() => kept,
            _ => rest.to_vec(),
        };
        Ok(())
    }

    /// Whether such a message may come at all: said before it is waited for.
    fn admits(&self, kind: HandshakeType, length: usize) -> Result<(), Error> {
        let known: &[HandshakeType] = match self.side {
            Side::Server(_) => &[HandshakeType::KeyUpdate],
            Side::Client(_) => &[HandshakeType::KeyUpdate, HandshakeType::NewSessionTicket],
        };
        if !known.contains(&kind) {
            return Err(Error::InappropriateHandshakeMessage {
                expect_types: known.to_vec(),
                got_type: kind,
            });
        }
        if length > MESSAGE {
            return Err(InvalidMessage::HandshakePayloadTooLarge.into());
        }
        Ok(())
    }

    /// The peer seals by its next key from now on (RFC 8446, 4.6.3).
    fn renew(&mut self, message: &[u8], flow: &mut Flow) -> Result<(), Error> {
        let [0 | 1] = message else {
            return Err(InvalidMessage::InvalidKeyUpdate.into());
        };
        self.opening = self.side.next_opening()?;
        if message == [1] && !self.silent {
            self.say(&mut flow.out, Kind::Handshake, &NOTICE)?;
            self.sealing = self.side.next_sealing()?;
        }
        Ok(())
    }
}

/// How many bytes stand behind this header.
fn sealed_length([kind, _, _, high, low]: [u8; HEADER]) -> Result<usize, Error> {
    if kind != Kind::Data.code() {
        return Err(Error::InappropriateMessage {
            expect_types: vec![ContentType::ApplicationData],
            got_type: kind.into(),
        });
    }
    match usize::from(u16::from_be_bytes([high, low])) {
        ..TAG => Err(Error::DecryptError),
        length if length > RECORD + EXPANSION => Err(Error::PeerSentOversizedRecord),
        length => Ok(length),
    }
}

/// What says that the next record is sealed by the next key, and that the other end may keep its own.
const NOTICE: [u8; 5] = [24, 0, 0, 1, 0];

/// What the peer is told of an error; `None`: it is the one that said so.
fn alert(error: &Error) -> Option<AlertDescription> {
    Some(match error {
        Error::AlertReceived(_) => return None,
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => {
            AlertDescription::IllegalParameter
        }
        Error::InvalidMessage(InvalidMessage::InvalidEmptyPayload)
        | Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => AlertDescription::UnexpectedMessage,
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::InternalError,
    })
}

#[cfg(test)]
mod tests;
