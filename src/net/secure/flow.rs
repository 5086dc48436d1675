//! What waits on either side of a TLS connection, and what becomes of rustls's states.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use super::OVERHEAD;
use crate::net::io::Io;

/// What a walk through the states of a connection is for.
pub(super) enum Job<'a> {
    /// Plaintext goes to `into`, and what does not fit is kept.
    Read { into: &'a mut [u8], got: usize },
    /// Both are encrypted to `place`, from `at` on.
    Write {
        first: &'a [u8],
        second: &'a [u8],
        place: &'a mut Vec<u8>,
        at: usize,
    },
    /// The end of what we send.
    Close,
}

/// Whether there is another step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    Step,
    /// If anything is left of the input: all records that were looked at are read.
    Read,
    Stop,
}

/// What waits on either side.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Plaintext that nobody took yet, from `read` on.
    pub(super) plain: Vec<u8>,
    pub(super) read: usize,
    /// Ciphertext that the kernel did not take yet, from `written` on.
    pub(super) out: Vec<u8>,
    pub(super) written: usize,
    /// Whether the peer said that nothing more follows.
    pub(super) ended: bool,
}

impl Flow {
    pub(super) fn take<Data>(
        &mut self,
        status: UnbufferedStatus<'_, '_, Data>,
        job: &mut Job<'_>,
    ) -> (usize, Result<Next, rustls::Error>) {
        let UnbufferedStatus { discard, state } = status;
        let state = match state {
            Ok(state) => state,
            Err(error) => return (discard, Err(error)),
        };
        let next = match state {
            ConnectionState::ReadTraffic(mut traffic) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => self.receive(record.payload, job),
                    Some(Err(error)) => break Err(error),
                    None => break Ok(Next::Read),
                }
            },
            ConnectionState::EncodeTlsData(mut data) => {
                // In the order in which they were encrypted: these stand in front of the data of this call.
                let mut end = self.out.len();
                let (place, at) = match job {
                    Job::Write { place, at, .. } => (&mut **place, at),
                    _ => (&mut self.out, &mut end),
                };
                if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                    let most = *at + size.required_size;
                    if place.len() < most {
                        place.resize(most, 0);
                    }
                    let place = place.get_mut(*at..most).unwrap_or_default();
                    *at += data.encode(place).unwrap_or_default();
                }
                Ok(Next::Step)
            }
            ConnectionState::TransmitTlsData(data) => {
                // What was encoded waits here: as far as rustls is concerned it is sent.
                data.done();
                Ok(Next::Step)
            }
            ConnectionState::PeerClosed => {
                self.ended = true;
                Ok(Next::Step)
            }
            ConnectionState::WriteTraffic(mut traffic) => {
                let done = match job {
                    Job::Read { .. } => Ok(()),
                    Job::Write {
                        first,
                        second,
                        place,
                        at,
                    } => [*first, *second].into_iter().try_for_each(|bytes| {
                        encrypt(place, at, |to| match bytes {
                            [] => Ok(0),
                            bytes => traffic.encrypt(bytes, to),
                        })
                    }),
                    Job::Close => {
                        let mut at = self.out.len();
                        self.out.resize(at + OVERHEAD, 0);
                        let done =
                            encrypt(&mut self.out, &mut at, |to| traffic.queue_close_notify(to));
                        self.out.truncate(at);
                        done
                    }
                };
                done.map(|()| Next::Stop)
            }
            _ => Ok(Next::Stop),
        };
        (discard, next)
    }

    pub(super) fn receive(&mut self, payload: &[u8], job: &mut Job<'_>) {
        let taken = match job {
            Job::Read { into, got } if self.plain.is_empty() => {
                let place = into.get_mut(*got..).unwrap_or_default();
                let taken = place.len().min(payload.len());
                if let (Some(to), Some(from)) = (place.get_mut(..taken), payload.get(..taken)) {
                    to.copy_from_slice(from);
                }
                *got += taken;
                taken
            }
            _ => 0,
        };
        self.plain
            .extend_from_slice(payload.get(taken..).unwrap_or_default());
    }

    /// Takes plaintext that waits.
    pub(super) fn give(&mut self, buf: &mut [u8]) -> usize {
        let waiting = self.plain.get(self.read..).unwrap_or_default();
        let len = waiting.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), waiting.get(..len)) {
            to.copy_from_slice(from);
        }
        self.read += len;
        if self.read == self.plain.len() {
            self.plain = Vec::new();
            self.read = 0;
        }
        len
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, io: &mut Io) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.out.get(self.written..) {
            match ready!(io.poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                taken => self.written += taken,
            }
        }
        self.out = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// Encrypts to `place` from `at` on; the place grows where that is needed, which is hardly ever.
fn encrypt(
    place: &mut Vec<u8>,
    at: &mut usize,
    mut to: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), rustls::Error> {
    loop {
        match to(place.get_mut(*at..).unwrap_or_default()) {
            Ok(wrote) => {
                *at += wrote;
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) => place.resize(*at + size.required_size, 0),
            Err(EncryptError::EncryptExhausted) => return Err(rustls::Error::EncryptError),
        }
    }
}
