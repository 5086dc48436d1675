//! Bodies: how far one has been read, decoded in place.

use super::chunked::{Decoder, Step};
use super::limits::BodyLimits;
use super::trailers::Trailers;
use crate::base::Detail;
use crate::message::BodyLength;

/// Whether more of a body follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum More {
    /// It does.
    Follows,
    /// That was all.
    Ended,
}

/// What a decoding step gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decoded {
    /// Bytes of data, now standing where the input began.
    pub data: usize,
    /// Bytes of input that belong to this body; what follows them belongs to the next message.
    pub used: usize,
    /// Whether more follows.
    pub more: More,
}

/// Reads one body.
#[derive(Debug, Default)]
pub enum BodyReader {
    /// All of it has been read.
    #[default]
    Ended,
    /// So many bytes are left.
    Exact(u64),
    /// Chunked.
    Chunked(Decoder),
    /// Up to the end of the connection.
    UntilClose,
}

impl BodyReader {
    /// A reader for a body of this length, of which so much is taken besides its data.
    pub fn new(length: BodyLength, limits: BodyLimits) -> Self {
        match length {
            BodyLength::None | BodyLength::Exact(0) => Self::Ended,
            BodyLength::Exact(left) => Self::Exact(left),
            BodyLength::Chunked => Self::Chunked(Decoder::new(limits)),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    /// Whether the whole body has been read.
    pub fn more(&self) -> More {
        match self {
            Self::Ended => More::Ended,
            Self::Chunked(decoder) if decoder.is_done() => More::Ended,
            _ => More::Follows,
        }
    }

    /// Bytes left, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Ended => Some(0),
            Self::Exact(left) => Some(*left),
            _ => None,
        }
    }

    /// Decodes `buf[start..start + len]` in place: data moves together at `start`.
    pub fn decode(&mut self, buf: &mut [u8], start: usize, len: usize) -> Result<Decoded, Detail> {
        match self {
            Self::Ended => Ok(Decoded {
                data: 0,
                used: 0,
                more: More::Ended,
            }),
            Self::Exact(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(len);
                *left -= data as u64;
                if *left == 0 {
                    *self = Self::Ended;
                }
                Ok(Decoded {
                    data,
                    used: data,
                    more: self.more(),
                })
            }
            Self::UntilClose => Ok(Decoded {
                data: len,
                used: len,
                more: More::Follows,
            }),
            Self::Chunked(decoder) => {
                let (mut at, mut data) = (0, 0);
                loop {
                    let rest = buf.get(start + at..start + len).unwrap_or_default();
                    match decoder.step(rest)? {
                        Step::Data { skip, len: run } => {
                            let from = start + at + skip;
                            buf.copy_within(from..from + run, start + data);
                            data += run;
                            at += skip + run;
                        }
                        Step::More => {
                            return Ok(Decoded {
                                data,
                                used: len,
                                more: More::Follows,
                            });
                        }
                        Step::End(used) => {
                            return Ok(Decoded {
                                data,
                                used: at + used,
                                more: More::Ended,
                            });
                        }
                    }
                }
            }
        }
    }

    /// The connection ended: the end of the body, or a truncation.
    pub fn end_of_stream(&mut self) -> Result<(), Detail> {
        match self {
            Self::UntilClose | Self::Ended => {
                *self = Self::Ended;
                Ok(())
            }
            _ => Err(Detail::Eof),
        }
    }

    /// Trailer lines, each ending in CRLF; complete when the body has ended.
    pub fn trailers(&self) -> &[u8] {
        match self {
            Self::Chunked(decoder) => decoder.trailers(),
            _ => &[],
        }
    }

    /// The trailers that go on, once the body has ended.
    pub fn passing(&self) -> Result<Trailers, Detail> {
        match self {
            Self::Chunked(decoder) => {
                Trailers::read(decoder.trailers(), decoder.limits().trailer_count.into())
            }
            _ => Ok(Trailers::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_in_place_and_leaves_the_next_message() {
        let mut buf = b"__3\r\nabc\r\n2;x\r\nde\r\n0\r\nEtag: 1\r\n\r\nGET".to_vec();
        let mut body = BodyReader::new(BodyLength::Chunked, BodyLimits::DEFAULT);
        let len = buf.len() - 2;
        let decoded = body.decode(&mut buf, 2, len).unwrap();
        assert_eq!((decoded.data, decoded.more), (5, More::Ended));
        assert_eq!(&buf[2..7], b"abcde");
        assert_eq!(&buf[2 + decoded.used..], b"GET");
        assert_eq!(body.trailers(), b"Etag: 1\r\n");
        let mut exact = BodyReader::new(BodyLength::Exact(4), BodyLimits::DEFAULT);
        assert_eq!(
            exact.decode(&mut buf, 0, 3).unwrap(),
            Decoded {
                data: 3,
                used: 3,
                more: More::Follows
            }
        );
        assert_eq!(exact.end_of_stream(), Err(Detail::Eof));
        assert_eq!(
            exact.decode(&mut buf, 0, 3).unwrap(),
            Decoded {
                data: 1,
                used: 1,
                more: More::Ended
            }
        );
    }
}
