//! The chunked coding (RFC 9112, 7.1), read strictly and written plainly.

use super::limits::BodyLimits;
use crate::base::Detail;

/// The end of a body without trailers.
pub const END: &[u8] = b"0\r\n\r\n";
/// Most hex digits of a chunk size: more could not be told from an overflow (E-013).
const MAX_DIGITS: u8 = 16;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// Before or in the size.
    #[default]
    Size,
    /// After `;`, up to CR.
    Extension,
    /// White space after the size or in front of an extension: nothing but `;` or CR may follow.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a trailer line or of the last empty line.
    TrailerStart,
    TrailerLine,
    TrailerLf,
    LastLf,
    Done,
}

/// Reads a chunked body piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    state: State,
    digits: u8,
    left: u64,
    extension: u32,
    extensions: u32,
    trailers: Vec<u8>,
    limits: BodyLimits,
}

/// What the next bytes of the input are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// `len` bytes of data begin at `skip`.
    Data {
        /// Framing before the data.
        skip: usize,
        /// Data.
        len: usize,
    },
    /// All of the input was framing; more is needed.
    More,
    /// The body ended after so many bytes of the input.
    End(usize),
}

impl Decoder {
    /// A decoder that takes so much.
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// What it takes.
    pub fn limits(&self) -> BodyLimits {
        self.limits
    }

    /// Reads up to the next run of data in `input`. The caller goes on with what follows the run.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Detail> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Data => {
                    let here = input.len() - at;
                    let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(here);
                    self.left -= len as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step::Data { skip: at, len });
                }
                State::Done => return Ok(Step::End(at)),
                _ => self.framing(byte)?,
            }
            at += 1;
        }
        Ok(if self.state == State::Done {
            Step::End(at)
        } else {
            Step::More
        })
    }

    fn framing(&mut self, byte: u8) -> Result<(), Detail> {
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if self.digits == MAX_DIGITS {
                    return Err(Detail::Chunk);
                }
                self.digits += 1;
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = (self.left << 4) | u64::from(digit);
                State::Size
            }
            (State::Size, b';') if self.digits > 0 => {
                self.extension = 0;
                State::Extension
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension += 1;
                self.extensions += 1;
                let (one, all) = (self.limits.chunk_extension, self.limits.chunk_extensions);
                if self.extension > one || self.extensions > all {
                    return Err(Detail::Chunk);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.left > 0 => {
                self.digits = 0;
                State::Data
            }
            (State::SizeLf, b'\n') => State::TrailerStart,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::LastLf, b'\n') => State::Done,
            (State::TrailerLine, b'\r') => self.trailer(byte, State::TrailerLf)?,
            (State::TrailerLf, b'\n') => self.trailer(byte, State::TrailerStart)?,
            (State::TrailerStart, b'!'..=b'~') => self.trailer(byte, State::TrailerLine)?,
            (State::TrailerLine, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trailer(byte, State::TrailerLine)?
            }
            (State::TrailerStart | State::TrailerLine | State::TrailerLf | State::LastLf, _) => {
                return Err(Detail::Trailers);
            }
            _ => return Err(Detail::Chunk),
        };
        Ok(())
    }

    fn trailer(&mut self, byte: u8, next: State) -> Result<State, Detail> {
        if self.trailers.len() >= self.limits.trailers as usize {
            return Err(Detail::Trailers);
        }
        self.trailers.push(byte);
        Ok(next)
    }

    /// Whether the end has been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer lines, each ending in CRLF; complete after [`Step::End`].
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}

/// Appends one chunk. Empty data would end the body, so it writes nothing.
pub fn encode(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    let mut digits = [0u8; 16];
    let mut at = digits.len();
    let mut left = data.len();
    while left > 0 {
        at -= 1;
        if let Some(slot) = digits.get_mut(at) {
            *slot = HEX.get(left & 15).copied().unwrap_or(b'0');
        }
        left >>= 4;
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Frames data that stands in `buf[start..start + len]` as a chunk, in place: the size line goes in front of it
/// and the line end behind it, so there must be 18 bytes of room before and 2 after. Where the chunk stands
/// then. Empty data makes no chunk.
pub fn frame(buf: &mut [u8], start: usize, len: usize) -> std::ops::Range<usize> {
    if len == 0 {
        return start..start;
    }
    let mut at = start;
    let mut put = |byte: u8| {
        at = at.saturating_sub(1);
        if let Some(slot) = buf.get_mut(at) {
            *slot = byte;
        }
    };
    put(b'\n');
    put(b'\r');
    let mut left = len;
    while left > 0 {
        put(HEX.get(left & 15).copied().unwrap_or(b'0'));
        left >>= 4;
    }
    if let Some(end) = buf.get_mut(start + len..start + len + 2) {
        end.copy_from_slice(b"\r\n");
    }
    at..start + len + 2
}

/// Appends the end of a body, with these trailer lines.
pub fn encode_end(trailers: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(input: &[u8], split: usize) -> Result<(Vec<u8>, Option<usize>), Detail> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        let mut base = 0;
        for part in input.chunks(split.max(1)) {
            let mut at = 0;
            loop {
                match decoder.step(&part[at..])? {
                    Step::Data { skip, len } => {
                        out.extend_from_slice(&part[at + skip..at + skip + len]);
                        at += skip + len;
                    }
                    Step::More => break,
                    Step::End(used) => return Ok((out, Some(base + at + used))),
                }
            }
            base += part.len();
        }
        Ok((out, None))
    }

    #[test]
    fn reads_at_every_split() {
        let input =
            b"4;a=b\r\nWiki\r\n6\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nx: y\r\n\r\nrest";
        for split in 1..input.len() {
            let (data, end) = decode(input, split).unwrap();
            assert_eq!(data, b"Wikipedia in \r\n\r\nchunks.");
            assert_eq!(end, Some(input.len() - 4));
        }
    }

    #[test]
    fn refuses_what_parsers_differ_on() {
        for (input, detail) in [
            (&b"10000000000000000\r\n"[..], Detail::Chunk),
            (b"00000000000000001\r\nx\r\n", Detail::Chunk),
            (b"\r\n", Detail::Chunk),
            (b"0x5\r\n", Detail::Chunk),
            (b"+5\r\n", Detail::Chunk),
            (b"5_0\r\n", Detail::Chunk),
            (b" 5\r\n", Detail::Chunk),
            (b"5 \r\n", Detail::Chunk),
            (b"5\n", Detail::Chunk),
            (b"5;a\nhello", Detail::Chunk),
            (b"5;\x00\r\n", Detail::Chunk),
            (b"1\r\nxy", Detail::Chunk),
            (b"1\r\nx\n", Detail::Chunk),
            (b"0\r\nX", Detail::Trailers),
            (b"0\r\n\n", Detail::Trailers),
            (b"0\r\n x: y\r\n\r\n", Detail::Trailers),
            (b"0\r\nx: y\n\r\n", Detail::Trailers),
        ] {
            let result = decode(input, input.len());
            if input == b"0\r\nX" {
                assert_eq!(result, Ok((vec![], None)), "a trailer may begin so");
            } else {
                assert_eq!(result, Err(detail), "{}", input.escape_ascii());
            }
        }
        let long = [b"1;", "e".repeat(300).as_bytes(), b"\r\nx\r\n"].concat();
        assert_eq!(decode(&long, 7), Err(Detail::Chunk));
        let many = [b"0\r\n".as_slice(), "x: y\r\n".repeat(1000).as_bytes()].concat();
        assert_eq!(decode(&many, 100), Err(Detail::Trailers));
    }

    #[test]
    fn extensions_are_bounded_over_the_body() {
        let one = format!("1;{}\r\nx\r\n", "e".repeat(200));
        assert!(decode(one.repeat(80).as_bytes(), 100).is_ok());
        assert_eq!(decode(one.repeat(90).as_bytes(), 100), Err(Detail::Chunk));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8), split in 1usize..64) {
            let mut wire = Vec::new();
            for piece in &pieces {
                encode(piece, &mut wire);
            }
            encode_end(b"", &mut wire);
            for piece in &pieces {
                let mut framed = vec![0; 18];
                framed.extend_from_slice(piece);
                framed.extend_from_slice(b"..");
                let range = frame(&mut framed, 18, piece.len());
                let mut plain = Vec::new();
                encode(piece, &mut plain);
                prop_assert_eq!(&framed[range], &plain[..]);
            }
            let (data, end) = decode(&wire, split).unwrap();
            prop_assert_eq!(data, pieces.concat());
            prop_assert_eq!(end, Some(wire.len()));
        }

        #[test]
        fn any_bytes_end_or_are_refused(input in proptest::collection::vec(any::<u8>(), 0..400), split in 1usize..32) {
            let _ = decode(&input, split);
        }
    }
}
