//! Trailers, line by line.

use super::hpack::{Fit, Kind, Line, OVERHEAD};
use crate::base::Detail;
use crate::http1::limits::BodyLimits;
use crate::http1::trailers::Trailers;
use crate::message::Known;

/// Reads one trailer section, line by line.
#[derive(Debug)]
pub struct TrailerReader {
    limits: BodyLimits,
    trailers: Trailers,
    size: usize,
    count: usize,
    malformed: bool,
}

impl TrailerReader {
    /// A reader of a section within these limits.
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            limits,
            trailers: Trailers::default(),
            size: 0,
            count: 0,
            malformed: false,
        }
    }

    /// Takes a line.
    pub fn line(&mut self, line: &Line<'_>) {
        self.size += line.name.len() + line.value.len() + OVERHEAD;
        self.count += 1;
        let fits = self.size <= self.limits.trailers as usize
            && self.count <= usize::from(self.limits.trailer_count);
        match line.kind {
            // TE may stand in the head of a request, and nowhere else (RFC 9113, 8.2.2).
            Kind::Field(
                Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::TransferEncoding
                | Known::Te
                | Known::Upgrade,
            ) => self.malformed = true,
            Kind::Field(_) if line.fit == Fit::Good && fits => {
                self.trailers.take(line.name, line.value);
            }
            _ => self.malformed = true,
        }
    }

    /// The trailers, if they may stand there.
    pub fn finish(self) -> Result<Trailers, Detail> {
        if self.malformed {
            Err(Detail::Trailers)
        } else {
            Ok(self.trailers)
        }
    }
}
