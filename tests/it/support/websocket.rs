//! As much WebSocket (RFC 6455) as a tunnel needs: the handshake with a fixed key, short text frames.

use super::client::Client;
use super::wire::{Fault, Wire};
use super::{Answer, answer::Step};
use std::net::SocketAddr;

/// The key of RFC 6455, 1.3, and its answer.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The client's side of the handshake.
pub fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// The origin's side of it: the head.
pub fn accepted() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
}

/// The whole of it.
pub fn accept() -> Answer {
    Answer::raw(accepted()).then(Step::WebSocket)
}

/// A frame of at most 125 bytes.
pub fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    assert!(length < 126, "a short frame");
    let mut bytes = vec![
        0x80 | opcode,
        length | if mask.is_some() { 0x80 } else { 0 },
    ];
    if let Some(mask) = mask {
        bytes.extend_from_slice(&mask);
        bytes.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}

fn read(wire: &mut Wire) -> Result<(u8, Vec<u8>), Fault> {
    let head = wire.exact(2)?;
    let opcode = head[0] & 0x0f;
    let mask = if head[1] & 0x80 != 0 {
        wire.exact(4)?
    } else {
        vec![0; 4]
    };
    let mut payload = wire.exact(usize::from(head[1] & 0x7f))?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok((opcode, payload))
}

/// An origin's end of a connection: every message comes back.
pub fn serve(wire: &mut Wire) {
    let _ = wire.stream.set_read_timeout(None);
    while let Ok((opcode, payload)) = read(wire) {
        if wire.send(&frame(opcode, &payload, None)).is_err() || opcode == 8 {
            return;
        }
    }
}

/// A client that has spoken the handshake.
pub struct WebSocket {
    client: Client,
}

impl WebSocket {
    #[track_caller]
    pub fn connect(addr: SocketAddr, path: &str) -> Self {
        let mut client = Client::connect(addr);
        client.send(request(path));
        let response = client.response();
        response.is(101);
        assert_eq!(response.one("sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(response.one("upgrade"), Some("websocket"));
        Self { client }
    }

    pub fn say(&mut self, text: &str) {
        self.client.send(frame(1, text.as_bytes(), Some(MASK)));
    }

    pub fn hear(&mut self) -> Result<String, Fault> {
        let (_, payload) = read(&mut self.client.wire)?;
        Ok(String::from_utf8_lossy(&payload).into_owned())
    }

    #[track_caller]
    pub fn echoes(&mut self, text: &str) {
        self.say(text);
        assert_eq!(self.hear().as_deref(), Ok(text));
    }

    /// Waits for the end of the connection.
    #[track_caller]
    pub fn ends(&mut self) {
        self.client.ends();
    }
}
