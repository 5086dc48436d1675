//! Trailer sections: checked like any head, then cut down to what may pass.

use crate::base::Detail;
use crate::message::hops::trailer_passes;

/// Most fields of a trailer section.
pub const MAX_COUNT: usize = 16;

/// Appends those lines of `section` that may be passed on to `out`. `section` is the lines of a trailer
/// section, each ending in CRLF, without the closing empty line.
pub fn filter(section: &[u8], out: &mut Vec<u8>) -> Result<(), Detail> {
    if section.is_empty() {
        return Ok(());
    }
    let mut whole = Vec::with_capacity(section.len() + 2);
    whole.extend_from_slice(section);
    whole.extend_from_slice(b"\r\n");
    let mut slots = [httparse::EMPTY_HEADER; MAX_COUNT];
    match httparse::parse_headers(&whole, &mut slots) {
        Ok(httparse::Status::Complete((len, fields))) if len == whole.len() => {
            for field in fields
                .iter()
                .filter(|field| trailer_passes(field.name.as_bytes()))
            {
                out.extend_from_slice(field.name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(field.value.trim_ascii());
                out.extend_from_slice(b"\r\n");
            }
            Ok(())
        }
        _ => Err(Detail::Trailers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(section: &str) -> Result<String, Detail> {
        let mut out = Vec::new();
        filter(section.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_results_pass() {
        let section = "Grpc-Status: 0\r\nContent-Length: 5\r\nHost: x\r\nSet-Cookie: a\r\nServer-Timing: db\r\n";
        assert_eq!(
            pass(section).unwrap(),
            "Grpc-Status: 0\r\nServer-Timing: db\r\n"
        );
        assert_eq!(pass("").unwrap(), "");
        assert_eq!(pass("a b: c\r\n"), Err(Detail::Trailers));
        assert_eq!(pass(&"a: b\r\n".repeat(17)), Err(Detail::Trailers));
    }
}
