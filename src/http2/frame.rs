//! Frames (RFC 9113, 4 and 6): their heads, and how they are written.

use super::code::Code;

/// What a client sends first (RFC 9113, 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame's head.
pub const HEAD: usize = 9;

/// Longest payload of a frame that we take: what every end must take, and we ask for no more.
pub const MAX_FRAME: u32 = 16_384;

/// The largest window (RFC 9113, 6.9.1).
pub const MAX_WINDOW: u32 = 0x7fff_ffff;

/// Every stream and its number; also the mask of the reserved bit above it.
pub const MAX_STREAM: u32 = 0x7fff_ffff;

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Bytes of a body.
    Data,
    /// Begins a message, or ends it with trailers.
    Headers,
    /// Means nothing any more (RFC 9113, 5.3.2).
    Priority,
    /// Ends a stream.
    RstStream,
    /// What the sender lets the other end do.
    Settings,
    /// A request that nobody made.
    PushPromise,
    /// Asks for an answer.
    Ping,
    /// No further streams.
    GoAway,
    /// More may be sent.
    WindowUpdate,
    /// Goes on with a header block.
    Continuation,
    /// One that we do not know.
    Unknown,
}

impl Kind {
    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::RstStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Unknown,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Headers => 1,
            Self::Priority => 2,
            Self::RstStream => 3,
            Self::Settings => 4,
            Self::PushPromise => 5,
            Self::Ping => 6,
            Self::GoAway => 7,
            Self::WindowUpdate => 8,
            Self::Continuation => 9,
            Self::Unknown => 0xff,
        }
    }
}

/// Flags of a frame. What a flag means depends on the frame's kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags(pub u8);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Of DATA and HEADERS: the sender's side of the stream ends.
    pub const END_STREAM: Self = Self(0x1);
    /// Of SETTINGS and PING: the answer to one.
    pub const ACK: Self = Self(0x1);
    /// Of HEADERS and CONTINUATION: the block ends.
    pub const END_HEADERS: Self = Self(0x4);
    /// Of DATA and HEADERS: padding follows.
    pub const PADDED: Self = Self(0x8);
    /// Of HEADERS: five bytes of priority stand first.
    pub const PRIORITY: Self = Self(0x20);

    /// Whether all of these are set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHead {
    /// Length of the payload.
    pub len: u32,
    /// What it is.
    pub kind: Kind,
    /// Its flags.
    pub flags: Flags,
    /// The stream that it belongs to; 0: the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads the head at the beginning of `input`, if it is whole. The reserved bit is ignored.
    pub fn read(input: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, stream @ ..] = *input.first_chunk::<HEAD>()?;
        Some(Self {
            len: u32::from_be_bytes([0, high, middle, low]),
            kind: Kind::of(kind),
            flags: Flags(flags),
            stream: u32::from_be_bytes(stream) & MAX_STREAM,
        })
    }

    /// Whether a client may send such a frame: what its kind, its stream and its length say without the payload
    /// (RFC 9113, 6). It is asked before the payload is waited for.
    pub const fn check(self) -> Result<(), Code> {
        let is_of_connection = self.stream == 0;
        let stands = match self.kind {
            Kind::Settings | Kind::Ping | Kind::GoAway => is_of_connection,
            Kind::WindowUpdate | Kind::Unknown => true,
            // Only an end that asks can be pushed to.
            Kind::PushPromise => false,
            Kind::Data | Kind::Headers | Kind::Priority | Kind::RstStream | Kind::Continuation => {
                !is_of_connection
            }
        };
        if !stands {
            return Err(Code::Protocol);
        }
        let fits = match self.kind {
            Kind::Settings if self.flags.has(Flags::ACK) => self.len == 0,
            Kind::Settings => (self.len as usize).is_multiple_of(SETTING),
            Kind::Ping => self.len == 8,
            Kind::GoAway => self.len >= 8,
            Kind::RstStream | Kind::WindowUpdate => self.len == 4,
            // Of the stream alone, or of what is in it.
            _ => true,
        };
        if fits { Ok(()) } else { Err(Code::FrameSize) }
    }

    /// As it stands in front of a payload.
    pub const fn bytes(self) -> [u8; HEAD] {
        let [_, high, middle, low] = self.len.to_be_bytes();
        let (kind, flags) = (self.kind.number(), self.flags.0);
        let [first, second, third, fourth] = self.stream.to_be_bytes();
        [high, middle, low, kind, flags, first, second, third, fourth]
    }
}

/// Four bytes as a number.
pub fn number(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |four| u32::from_be_bytes(*four))
}

fn write(kind: Kind, flags: Flags, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let head = FrameHead {
        len: u32::try_from(payload.len()).unwrap_or_default(),
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
}

/// Appends a DATA frame, whose payload is not longer than a frame may be.
pub fn data(stream: u32, flags: Flags, payload: &[u8], out: &mut Vec<u8>) {
    write(Kind::Data, flags, stream, payload, out);
}

/// Appends a `RST_STREAM`.
pub fn rst_stream(stream: u32, code: Code, out: &mut Vec<u8>) {
    let payload = code.number().to_be_bytes();
    write(Kind::RstStream, Flags::NONE, stream, &payload, out);
}

/// Appends SETTINGS.
pub fn settings(settings: &[(Setting, u32)], out: &mut Vec<u8>) {
    let head = FrameHead {
        len: u32::try_from(settings.len() * SETTING).unwrap_or_default(),
        kind: Kind::Settings,
        flags: Flags::NONE,
        stream: 0,
    };
    out.extend_from_slice(&head.bytes());
    for (setting, value) in settings {
        out.extend_from_slice(&setting.number().to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends the answer to SETTINGS.
pub fn settings_ack(out: &mut Vec<u8>) {
    write(Kind::Settings, Flags::ACK, 0, b"", out);
}

/// Appends a PING, or the answer to one.
pub fn ping(flags: Flags, opaque: &[u8], out: &mut Vec<u8>) {
    write(Kind::Ping, flags, 0, opaque, out);
}

/// Appends a GOAWAY: no stream above `last` is looked at.
pub fn go_away(last: u32, code: Code, out: &mut Vec<u8>) {
    let mut payload = [0; 8];
    let (first, second) = payload.split_at_mut(4);
    first.copy_from_slice(&last.to_be_bytes());
    second.copy_from_slice(&code.number().to_be_bytes());
    write(Kind::GoAway, Flags::NONE, 0, &payload, out);
}

/// Appends a `WINDOW_UPDATE`.
pub fn window_update(stream: u32, increment: u32, out: &mut Vec<u8>) {
    let payload = increment.to_be_bytes();
    write(Kind::WindowUpdate, Flags::NONE, stream, &payload, out);
}

/// A header block that is written in place: room for the head of its first frame is left, and filled in when the
/// block's length is known.
#[derive(Debug)]
#[must_use = "a block without its end cannot be read"]
pub struct Block {
    start: usize,
}

impl Block {
    /// Begins one at the end of `out`.
    pub fn begin(out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        Self { start }
    }

    /// Ends it: as HEADERS, with CONTINUATION behind where it is longer than a frame may be.
    pub fn end(self, stream: u32, end_stream: Flags, max_frame: u32, out: &mut Vec<u8>) {
        let from = self.start + HEAD;
        let (len, most) = (out.len() - from, max_frame as usize);
        let first = len.min(most);
        let mut flags = end_stream;
        if len <= most {
            flags = flags.and(Flags::END_HEADERS);
        } else {
            let rest: Vec<u8> = out.drain(from + most..).collect();
            let mut pieces = rest.chunks(most).peekable();
            while let Some(piece) = pieces.next() {
                let flags = match pieces.peek() {
                    Some(_) => Flags::NONE,
                    None => Flags::END_HEADERS,
                };
                write(Kind::Continuation, flags, stream, piece, out);
            }
        }
        let head = FrameHead {
            len: u32::try_from(first).unwrap_or_default(),
            kind: Kind::Headers,
            flags,
            stream,
        };
        if let Some(place) = out.get_mut(self.start..from) {
            place.copy_from_slice(&head.bytes());
        }
    }
}

/// Length of one setting.
pub const SETTING: usize = 6;

/// What can be set (RFC 9113, 6.5.2; RFC 8441, 3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setting {
    /// What the receiver's compression table may count.
    HeaderTableSize,
    /// Whether the receiver may push.
    EnablePush,
    /// Streams that the receiver may have open.
    MaxConcurrentStreams,
    /// The window of a stream that begins.
    InitialWindowSize,
    /// Longest payload.
    MaxFrameSize,
    /// Largest list of fields, before compression.
    MaxHeaderListSize,
    /// Whether CONNECT may name a protocol.
    EnableConnectProtocol,
    /// One that we do not know: ignored.
    Unknown,
}

impl Setting {
    const fn of(number: u16) -> Self {
        match number {
            1 => Self::HeaderTableSize,
            2 => Self::EnablePush,
            3 => Self::MaxConcurrentStreams,
            4 => Self::InitialWindowSize,
            5 => Self::MaxFrameSize,
            6 => Self::MaxHeaderListSize,
            8 => Self::EnableConnectProtocol,
            _ => Self::Unknown,
        }
    }

    const fn number(self) -> u16 {
        match self {
            Self::HeaderTableSize => 1,
            Self::EnablePush => 2,
            Self::MaxConcurrentStreams => 3,
            Self::InitialWindowSize => 4,
            Self::MaxFrameSize => 5,
            Self::MaxHeaderListSize => 6,
            Self::EnableConnectProtocol => 8,
            Self::Unknown => 0,
        }
    }
}

/// The settings in a payload, whose length is a multiple of [`SETTING`].
pub fn read_settings(payload: &[u8]) -> impl Iterator<Item = (Setting, u32)> {
    payload.chunks_exact(SETTING).filter_map(|six| {
        let (id, value) = six.split_first_chunk::<2>()?;
        Some((Setting::of(u16::from_be_bytes(*id)), number(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_written() {
        let mut out = Vec::new();
        data(0x7fff_fff1, Flags::END_STREAM, b"abc", &mut out);
        assert_eq!(out, b"\0\0\x03\x00\x01\x7f\xff\xff\xf1abc");
        let head = FrameHead::read(&out).unwrap();
        assert_eq!(
            (head.len, head.kind, head.stream),
            (3, Kind::Data, 0x7fff_fff1)
        );
        assert_eq!(head.bytes(), out[..HEAD]);
        assert!(FrameHead::read(&out[..8]).is_none());
        let reserved = FrameHead::read(b"\0\0\0\x06\0\xff\xff\xff\xff").unwrap();
        assert_eq!((reserved.kind, reserved.stream), (Kind::Ping, MAX_STREAM));
        for number in 0..=255 {
            let kind = Kind::of(number);
            assert!(kind == Kind::Unknown || kind.number() == number);
        }
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        let mut out = Vec::new();
        let all = [
            (Setting::HeaderTableSize, 1),
            (Setting::EnablePush, 0),
            (Setting::MaxConcurrentStreams, 3),
            (Setting::InitialWindowSize, u32::MAX),
            (Setting::MaxFrameSize, 5),
            (Setting::MaxHeaderListSize, 6),
            (Setting::EnableConnectProtocol, 1),
        ];
        settings(&all, &mut out);
        assert_eq!(out.len(), HEAD + all.len() * SETTING);
        let read: Vec<_> = read_settings(&out[HEAD..]).collect();
        assert_eq!(read, all);
        let strange: Vec<_> = read_settings(b"\0\x07\0\0\0\x01\xff\xff\0\0\0\x02").collect();
        assert_eq!(strange, [(Setting::Unknown, 1), (Setting::Unknown, 2)]);
    }

    #[test]
    fn small_frames_have_their_bytes() {
        let mut out = Vec::new();
        rst_stream(1, Code::RefusedStream, &mut out);
        go_away(5, Code::EnhanceYourCalm, &mut out);
        window_update(0, 9, &mut out);
        ping(Flags::ACK, b"12345678", &mut out);
        settings_ack(&mut out);
        let expected = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07\
            \0\0\x08\x07\0\0\0\0\0\0\0\0\x05\0\0\0\x0b\
            \0\0\x04\x08\0\0\0\0\0\0\0\0\x09\
            \0\0\x08\x06\x01\0\0\0\x0012345678\
            \0\0\0\x04\x01\0\0\0\0";
        assert_eq!(out, expected);
    }

    #[test]
    fn a_long_block_goes_on_in_further_frames() {
        for len in [0usize, 1, 10, 11, 20, 21, 35] {
            let mut out = b"before".to_vec();
            let block = Block::begin(&mut out);
            let text: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[0]).collect();
            out.extend_from_slice(&text);
            block.end(7, Flags::END_STREAM, 10, &mut out);
            let mut rest = out.strip_prefix(b"before").unwrap();
            let mut seen = Vec::new();
            let mut frames = 0;
            loop {
                let head = FrameHead::read(rest).unwrap();
                let end = HEAD + head.len as usize;
                seen.extend_from_slice(&rest[HEAD..end]);
                rest = &rest[end..];
                let kind = if frames == 0 {
                    Kind::Headers
                } else {
                    Kind::Continuation
                };
                assert_eq!((head.kind, head.stream), (kind, 7));
                assert_eq!(head.flags.has(Flags::END_STREAM), frames == 0);
                frames += 1;
                if head.flags.has(Flags::END_HEADERS) {
                    break;
                }
            }
            assert!(rest.is_empty());
            assert_eq!(seen, text);
            assert_eq!(frames, len.div_ceil(10).max(1));
        }
    }
}
