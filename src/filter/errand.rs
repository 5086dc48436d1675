//! What a cluster is asked on behalf of a request, and what was heard. The exchange does the asking.

use std::time::Duration;

use crate::cluster::ClusterIx;
use crate::message::{Field, ResponseHead};

/// A question: a GET without a body. Beside what is said here it tells what every request tells of its client, and in
/// X-Forwarded-Method and X-Forwarded-Uri what that asked for.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Who is asked.
    pub cluster: ClusterIx,
    /// The canonical path that is asked for.
    pub path: Box<[u8]>,
    /// The Host, canonical; `None`: the request's.
    pub host: Option<Box<[u8]>>,
    /// Names of fields that are sent along as they came.
    pub send: Box<[Box<str>]>,
    /// How long it may take.
    pub timeout: Duration,
    /// Longest body of an answer.
    pub most: usize,
}

/// A whole answer.
#[derive(Debug, Default)]
pub struct Heard {
    /// 200-999.
    pub status: u16,
    /// Its head as received.
    pub bytes: Vec<u8>,
    /// The fields in it.
    pub fields: Vec<Field>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Heard {
    /// The head.
    pub fn head(&self) -> ResponseHead<'_> {
        ResponseHead::whole(self.status, &self.bytes, &self.fields, &self.body)
    }

    /// Bytes that its buffers take.
    pub fn weight(&self) -> usize {
        self.bytes.capacity() + self.body.capacity() + self.fields.capacity() * size_of::<Field>()
    }
}
