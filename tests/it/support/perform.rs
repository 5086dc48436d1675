//! An answer, performed: step by step, as far as the peer lets it.

use super::answer::{Answer, Step};
use super::websocket;
use super::wire::Wire;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// What follows an answer.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Next {
    Request,
    Close,
}

/// Does what the answer says.
pub fn perform(wire: &mut Wire, answer: &Answer, method: &str, nonce: Option<&str>) -> Next {
    let reply = answer.render(method, nonce);
    let at = |share: usize| reply.len() * share / 1000;
    for step in &answer.steps {
        let sent = match step {
            Step::Send(bytes) => wire.send(bytes),
            Step::Reply(from, to) => wire.send(&reply[at(*from)..at(*to)]),
            Step::Pause(time) => {
                thread::sleep(*time);
                Ok(())
            }
            Step::Hold(gate) => {
                gate.pass();
                Ok(())
            }
            Step::Count(count) => {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            Step::Reset => {
                let socket = socket2::SockRef::from(&wire.stream);
                let _ = socket.set_linger(Some(Duration::ZERO));
                return Next::Close;
            }
            Step::Close => return Next::Close,
            Step::Hang | Step::HalfClose => {
                if matches!(step, Step::HalfClose) {
                    wire.finish();
                }
                let _ = wire.stream.set_read_timeout(None);
                while matches!(wire.fill(), Ok(1..)) {}
                return Next::Close;
            }
            Step::Echo => {
                echo(wire);
                return Next::Close;
            }
            Step::WebSocket => {
                websocket::serve(wire);
                return Next::Close;
            }
        };
        if sent.is_err() {
            return Next::Close;
        }
    }
    Next::Request
}

fn echo(wire: &mut Wire) {
    let _ = wire.stream.set_read_timeout(None);
    loop {
        let bytes = std::mem::take(&mut wire.buffer);
        if wire.send(&bytes).is_err() || !matches!(wire.fill(), Ok(1..)) {
            return;
        }
    }
}
