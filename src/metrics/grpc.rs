//! What calls of gRPC came to.

use super::cell::Counter;
use super::{Scrape, names};
use crate::message::grpc::Code;

/// What the end of an answer of gRPC says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// This.
    Code(Code),
    /// A number that gRPC does not have.
    Other,
    /// Nothing.
    None,
}

const ROWS: usize = Code::COUNT + 2;

impl Outcome {
    const fn index(self) -> usize {
        match self {
            Self::Code(code) => code as usize,
            Self::Other => Code::COUNT,
            Self::None => Code::COUNT + 1,
        }
    }
}

/// What one worker counts of the answers of one cluster.
#[derive(Debug, Default)]
pub(super) struct GrpcCells([Counter; ROWS]);

impl GrpcCells {
    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.0.get(outcome.index()) {
            counter.inc();
        }
    }
}

/// The same, added up over the workers.
#[derive(Debug, Default)]
pub(super) struct GrpcSums([u64; ROWS]);

impl GrpcSums {
    pub(super) fn absorb(&mut self, cells: &GrpcCells) {
        for (sum, counter) in self.0.iter_mut().zip(&cells.0) {
            *sum += counter.read();
        }
    }

    /// Adds what occurred to a scrape.
    pub(super) fn collect(&self, cluster: &str, scrape: &mut Scrape) {
        let labels = Code::ALL.iter().map(|code| code.as_str());
        let labels = labels.chain([super::OTHER, "none"]);
        for (status, &count) in labels.zip(&self.0) {
            if count > 0 {
                scrape.add(&names::GRPC_RESPONSES, &[cluster, status], count);
            }
        }
    }
}
