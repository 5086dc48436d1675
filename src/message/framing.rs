//! How long a body is.

/// The length of a message's body, decided once by the codec that read the head.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BodyLength {
    /// No body.
    #[default]
    None,
    /// Exactly so many bytes (never 0: that is [`BodyLength::None`] for a request; a response may
    /// have a length of 0).
    Exact(u64),
    /// Chunked: the end is marked in the body.
    Chunked,
    /// A response that ends when the connection closes.
    UntilClose,
}
