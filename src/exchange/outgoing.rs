//! The request on its way to an endpoint: what of it is still to be written, and whether it can be sent again.

use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

use super::Exchange;
use crate::base::{Detail, Error, Reason};
use crate::http1::body::More;
use crate::http1::write;
use crate::message::BodyLength;
use crate::net::{Stream, Tell};
use crate::upstream::Spoken;

/// Whether what was written is kept for another attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keep {
    /// All of it, while the body fits into so many bytes.
    UpTo(usize),
    /// No: the body is too long for that, or the method must not be repeated.
    Nothing,
}

/// A cursor over the encoded request in the exchange's kit.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Length of the head, which stands at the beginning of the buffer.
    head: usize,
    written: usize,
    keep: Keep,
    /// Bytes that the kernel took in this attempt.
    accepted: u64,
    /// Whether it took a part of others.
    parted: bool,
    /// Whether the buffer still holds the request from its first byte.
    whole: bool,
}

impl Outgoing {
    /// A request whose head is in `buffer`.
    pub(super) fn new(buffer: &[u8], keep: Keep) -> Self {
        Self {
            head: buffer.len(),
            written: 0,
            keep,
            accepted: 0,
            parted: false,
            whole: true,
        }
    }

    /// Begins another attempt. Only when [`Outgoing::resendable`].
    pub(super) fn rewind(&mut self) {
        self.written = 0;
        self.disowned();
    }

    /// Whether everything that was sent so far can be sent again.
    pub(super) fn resendable(&self) -> bool {
        self.whole
    }

    /// How much of it the kernel took in this attempt; not nothing where it took any.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.max(u64::from(self.parted))
    }

    /// Whether the head waits alone: none of it was written, and no body stands behind it.
    pub(super) fn untouched(&self, buffer: &[u8]) -> bool {
        self.whole && self.written == 0 && buffer.len() == self.head
    }

    /// Whether something waits to be written.
    pub(super) fn pending(&self, buffer: &[u8]) -> bool {
        self.written < buffer.len()
    }

    /// What waits to be given away.
    pub(super) fn waiting<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        buffer.get(self.written..).unwrap_or_default()
    }

    /// So much was given away, and so much of it stands in the buffer.
    pub(super) fn took(&mut self, accepted: usize, of_buffer: usize) {
        self.accepted += accepted as u64;
        self.written += of_buffer;
    }

    /// The endpoint says that it did nothing with what it was given.
    pub(super) fn disowned(&mut self) {
        self.accepted = 0;
        self.parted = false;
    }

    /// Forgets what was given away, where nothing is kept for another attempt.
    pub(super) fn settle(&mut self, buffer: &mut Vec<u8>) {
        if self.keep == Keep::Nothing && !buffer.is_empty() && !self.pending(buffer) {
            self.forget(buffer);
        }
    }

    fn forget(&mut self, buffer: &mut Vec<u8>) {
        buffer.clear();
        self.written = 0;
        self.whole = false;
    }

    /// What it is spelled for: the head stands in front of the body in HTTP/1 alone.
    fn spelled(&self) -> Spoken {
        match self.head {
            0 => Spoken::Http2,
            _ => Spoken::Other,
        }
    }

    /// Whether something of a body of this length that was read up to there is framed for another protocol.
    fn misframed(&self, buffer: &[u8], body: BodyLength, upload: More, spoken: Spoken) -> bool {
        let begun = upload == More::Ended || buffer.len() > self.head;
        let framed = !matches!(body, BodyLength::None | BodyLength::Exact(_));
        framed && begun && self.spelled() != spoken
    }

    /// So many bytes more: they may be too many to be kept.
    fn grow(&mut self, buffer: &[u8], more: usize) {
        if let Keep::UpTo(limit) = self.keep
            && buffer.len() - self.head + more > limit
        {
            self.keep = Keep::Nothing;
        }
    }

    /// Takes a piece of the body, to be given away.
    pub(super) fn take_in(&mut self, buffer: &mut Vec<u8>, piece: &[u8]) {
        self.grow(buffer, piece.len());
        buffer.extend_from_slice(piece);
    }

    /// Writes what waits.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        buffer: &mut Vec<u8>,
        tell: Tell,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = buffer.get(self.written..) {
            match stream.poll_send(cx, rest, tell) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => {
                    self.written += taken;
                    self.accepted += taken as u64;
                }
                none => {
                    self.parted |= stream.is_partly_written();
                    return none.map_ok(drop);
                }
            }
        }
        self.settle(buffer);
        Poll::Ready(Ok(()))
    }

    /// Takes an encoded piece of the body, which stands there in the scratch. It joins what waits, so that head and body leave in
    /// one send; where nothing has to be kept a long one stays where it is, and what waits goes in front of it.
    pub(super) fn push(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        buffer: &mut Vec<u8>,
        scratch: &mut [u8],
        place: Range<usize>,
        tell: Tell,
    ) -> Poll<io::Result<()>> {
        self.grow(buffer, place.len());
        if self.keep == Keep::Nothing {
            if !self.pending(buffer) {
                self.forget(buffer);
            }
            if let Some(from) = self.put_before(buffer, scratch, &place) {
                let bytes = scratch.get(from..place.end).unwrap_or_default();
                return match stream.poll_send(cx, bytes, tell) {
                    Poll::Ready(Ok(taken)) => {
                        self.accepted += taken as u64;
                        self.forget(buffer);
                        buffer.extend_from_slice(bytes.get(taken..).unwrap_or_default());
                        if buffer.is_empty() {
                            Poll::Ready(Ok(()))
                        } else {
                            Poll::Pending
                        }
                    }
                    none => {
                        self.parted |= stream.is_partly_written();
                        buffer.extend_from_slice(scratch.get(place).unwrap_or_default());
                        none.map_ok(drop)
                    }
                };
            }
        }
        buffer.extend_from_slice(scratch.get(place).unwrap_or_default());
        self.poll_write(cx, stream, buffer, tell)
    }

    /// Copies what waits to where this piece begins, if that is less than to copy the piece and there is room; where both begin.
    fn put_before(&self, buffer: &[u8], scratch: &mut [u8], piece: &Range<usize>) -> Option<usize> {
        let waiting = self.waiting(buffer);
        if waiting.len() > piece.len() {
            return None;
        }
        let from = piece.start.checked_sub(waiting.len())?;
        scratch.get_mut(from..piece.start)?.copy_from_slice(waiting);
        Some(from)
    }
}

/// Makes what is kept ready for what is spoken to this endpoint, where that is agreed upon for each. A body of a known length is
/// alike in both. Any other may wait here all the same, in the framing of the endpoint that it was read for: behind a
/// head that says another, its bytes could pass for a request of their own (RFC 9112, 11.2), and so it goes nowhere else.
pub(super) fn respell(
    x: &mut Exchange,
    outgoing: &mut Outgoing,
    upload: More,
    spoken: Spoken,
) -> Result<(), Error> {
    let body = x.record.head().body();
    if outgoing.misframed(&x.kit.outgoing, body, upload, spoken) {
        return Err(Error::new(Reason::UpstreamReset, Detail::BodyNotReplayable));
    }
    if outgoing.spelled() == spoken {
        return Ok(());
    }
    match spoken {
        Spoken::Other => {
            let body = x.kit.outgoing.clone();
            encode(x);
            outgoing.head = x.kit.outgoing.len();
            x.kit.outgoing.extend_from_slice(&body);
        }
        Spoken::Http2 => {
            x.kit.outgoing.drain(..outgoing.head);
            outgoing.head = 0;
        }
    }
    Ok(())
}

/// Writes the request as an endpoint gets it that speaks HTTP/1.
pub(super) fn encode(x: &mut Exchange) {
    let mut out = std::mem::take(&mut x.kit.outgoing);
    out.clear();
    let edits = &x.kit.request_edits;
    write::request(x.record.head(), edits, &forwarding(x), &mut out);
    x.kit.outgoing = out;
}

/// What the endpoint is told of the client.
pub(super) fn forwarding(x: &Exchange) -> write::Forwarding<'_> {
    let spec = x.view.listeners.get(x.listener);
    let spec = spec.map(|listener| &listener.spec);
    write::Forwarding {
        trust: x.trust,
        peer: x.record.facts().source_text(),
        client: x.client,
        scheme: x.record.facts().proto().as_str(),
        headers: spec.map(|spec| spec.forwarding).unwrap_or_default(),
        identity: spec.map(|spec| &*spec.identity).unwrap_or_default(),
        certificate: x
            .record
            .facts()
            .client_certificate()
            .map_or(&[], |it| &it.lines),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, mpsc};

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};

    use super::*;
    use crate::net::Session;

    /// A request of which records have left is not one of which nothing was written: the endpoint may have read them.
    #[tokio::test]
    async fn a_part_under_tls_is_a_part() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (end, ended) = mpsc::channel::<()>();
        // It shakes hands, and reads nothing.
        let endpoint = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut tls = ServerConnection::new(Arc::new(server)).unwrap();
            while tls.is_handshaking() {
                tls.complete_io(&mut socket).unwrap();
            }
            let _ = ended.recv();
        });

        let socket = TcpStream::connect(addr).unwrap();
        socket2::SockRef::from(&socket)
            .set_send_buffer_size(4096)
            .unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = Stream::from(tokio::net::TcpStream::from_std(socket).unwrap());
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "a.example".try_into().unwrap();
        stream.secure(
            Session::client(&Arc::new(client), name, Vec::new()).unwrap(),
            &[],
        );
        std::future::poll_fn(|cx| stream.poll_handshake(cx))
            .await
            .unwrap();

        let mut buffer = b"POST / HTTP/1.1\r\n\r\n".to_vec();
        let mut outgoing = Outgoing::new(&buffer, Keep::Nothing);
        let mut scratch = vec![b'x'; 64 * 1024];
        let place = 1024..scratch.len();
        let pushed = std::future::poll_fn(|cx| {
            let place = place.clone();
            Poll::Ready(outgoing.push(cx, &stream, &mut buffer, &mut scratch, place, Tell::Always))
        });
        assert!(pushed.await.is_pending());
        assert!(outgoing.accepted() > 0);
        assert!(outgoing.resendable() && outgoing.pending(&buffer));
        drop(end);
        endpoint.join().unwrap();
    }

    /// What was read of a body without a length stays with the protocol that it was read for, in both directions.
    #[test]
    fn framing_is_kept() {
        use BodyLength::{Chunked, Exact, None};
        use More::{Ended, Follows};
        let head: &[u8] = b"PUT / HTTP/1.1\r\n\r\n";
        for (head, own, other) in [
            (head, Spoken::Other, Spoken::Http2),
            (&b""[..], Spoken::Http2, Spoken::Other),
        ] {
            let outgoing = Outgoing::new(head, Keep::UpTo(0));
            let held = [head, b"5\r\n"].concat();
            for (buffer, body, upload, refused) in [
                (&*held, Chunked, Follows, true),
                (&*held, Chunked, Ended, true),
                // Its end was read, and that is framing, too.
                (head, Chunked, Ended, true),
                (head, Chunked, Follows, false),
                (&*held, Exact(3), Ended, false),
                (head, None, Ended, false),
            ] {
                assert!(!outgoing.misframed(buffer, body, upload, own));
                let misframed = outgoing.misframed(buffer, body, upload, other);
                assert_eq!(misframed, refused, "{buffer:?} {body:?} {upload:?}");
            }
        }
    }
}
