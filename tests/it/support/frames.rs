//! HTTP/2 frame by frame, for endpoints that do what no library does.

use std::io::{Read, Write};
use std::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The endpoint's end of a connection.
pub struct Peer(pub TcpStream);

impl Peer {
    /// Reads the preface and says empty settings.
    pub fn greet(stream: TcpStream) -> Self {
        let mut peer = Self(stream);
        let mut preface = [0; 24];
        let _ = peer.0.read_exact(&mut preface);
        peer.send(SETTINGS, 0, 0, &[]);
        peer
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        let _ = self.0.write_all(&frame);
    }

    /// The next frame; settings and pings are not answered.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The next head of a request: its stream. Settings and pings before it are answered.
    pub fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.frame()?;
            match frame.kind {
                HEADERS => return Some(frame.stream),
                SETTINGS if frame.flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]),
                PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload),
                _ => {}
            }
        }
    }
}

/// A block of fields, each a literal that no table keeps.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // A length of 127 and more takes a second byte, and so on.
            let mut left = text.len();
            if left < 127 {
                block.push(u8::try_from(left).unwrap());
            } else {
                block.push(127);
                left -= 127;
                while left >= 128 {
                    block.push(u8::try_from(left % 128).unwrap() | 128);
                    left /= 128;
                }
                block.push(u8::try_from(left).unwrap());
            }
            block.extend(text.as_bytes());
        }
    }
    block
}
