//! Trailer sections: checked like any head, then cut down to what may pass.

use super::request::MAX_FIELDS;
use crate::base::Detail;
use crate::message::trailer::{Dropped, Verdict, judge};

/// What trailers a side carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carries {
    /// Those that are known to be harmless where they are merged into a head.
    Listed,
    /// All but the forbidden ones.
    All,
}

/// The trailers of one message that go on.
#[derive(Clone, Debug, Default)]
pub struct Trailers {
    /// Field lines, each ending in CRLF.
    pub lines: Vec<u8>,
    /// Lines that only a protocol carries which keeps trailers apart from heads (HTTP/2); counted as dropped.
    pub unlisted: Vec<u8>,
    /// What does not go on.
    pub dropped: Dropped,
}

impl Trailers {
    /// Reads a section of at most so many fields: lines, each ending in CRLF, without the closing empty line.
    pub fn read(section: &[u8], count: usize) -> Result<Self, Detail> {
        let mut trailers = Self::default();
        if section.is_empty() {
            return Ok(trailers);
        }
        let mut whole = Vec::with_capacity(section.len() + 2);
        whole.extend_from_slice(section);
        whole.extend_from_slice(b"\r\n");
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let slots = slots.get_mut(..count).unwrap_or_default();
        let Ok(httparse::Status::Complete((len, fields))) = httparse::parse_headers(&whole, slots)
        else {
            return Err(Detail::Trailers);
        };
        if len != whole.len() {
            return Err(Detail::Trailers);
        }
        for field in fields {
            trailers.take(field.name.as_bytes(), field.value.trim_ascii());
        }
        Ok(trailers)
    }

    /// Takes one more field, which must have been validated.
    pub fn take(&mut self, name: &[u8], value: &[u8]) {
        let verdict = judge(name);
        self.dropped.count(verdict);
        let lines = match verdict {
            Verdict::Passes => &mut self.lines,
            Verdict::Unlisted => &mut self.unlisted,
            Verdict::Forbidden => return,
        };
        for part in [name, b": ", value, b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }

    /// The lines that go on to a side which carries so much, and what does not go on.
    pub fn towards(mut self, carries: Carries) -> (Vec<u8>, Dropped) {
        if carries == Carries::All {
            self.lines.append(&mut self.unlisted);
            self.dropped.unlisted = 0;
        }
        (self.lines, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(section: &str) -> Result<(String, Dropped), Detail> {
        let read = Trailers::read(section.as_bytes(), 16)?;
        Ok((String::from_utf8(read.lines).unwrap(), read.dropped))
    }

    #[test]
    fn only_results_pass() {
        let section = "Grpc-Status: 0\r\nContent-Length: 5\r\nHost: x\r\nSet-Cookie: a\r\nX: y\r\nServer-Timing: db\r\n";
        let dropped = Dropped {
            unlisted: 1,
            forbidden: 3,
        };
        let kept = "Grpc-Status: 0\r\nServer-Timing: db\r\n".to_owned();
        assert_eq!(pass(section), Ok((kept, dropped)));
        assert_eq!(pass(""), Ok((String::new(), Dropped::default())));
        assert_eq!(pass("a b: c\r\n"), Err(Detail::Trailers));
        assert_eq!(pass(&"a: b\r\n".repeat(17)), Err(Detail::Trailers));
    }
}
