//! The finisher: the one place that decides what becomes of both connections when an exchange is over.
//!
//! A connection goes on only where nothing of this exchange can be taken for a part of the next one: the rest of a
//! request that nobody read (E-034, E-036), the rest of an answer (E-037), a request that was not sent whole
//! (E-010, E-012), a protocol that was not agreed on (E-078). Facts go in, a decision comes out.

use super::Disposition;
use super::side::{Answered, Author};
use crate::http1::body::BodyReader;
use crate::http1::response::Persist;
use crate::message::{BodyLength, Expect, Upgrade};

/// What of a request has not been read when its answer begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// So many bytes.
    Bytes(u64),
    /// Chunks, of a number that only their end tells.
    Chunks,
    /// Something that cannot be told apart from what follows it: its head or its framing was refused.
    Unknown,
}

impl Rest {
    /// What a reader has left.
    pub fn of(body: &BodyReader) -> Self {
        match body {
            BodyReader::UntilClose => Self::Unknown,
            body => match (body.left(), body.more()) {
                (Some(0), _) | (_, crate::http1::body::More::Ended) => Self::Nothing,
                (Some(left), _) => Self::Bytes(left),
                (None, _) => Self::Chunks,
            },
        }
    }
}

/// Whether somebody wants the connection to end with this answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// Nobody.
    Stay,
    /// The client, which sends no more requests on it.
    ClientEnds,
    /// We: it is old, has served its number, or the process drains.
    WeEnd,
}

/// What an answer's head says of the client's connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Promise {
    /// It goes on.
    Reuse,
    /// It goes on after the rest of the request was skipped, up to the budget.
    Skip,
    /// It ends.
    Close,
}

/// Decides when the head of the answer goes out. A rest is skipped only where it will surely come and soon: not for
/// a client that waits for a 100 and may never send it (E-033), and not for one whose request was refused.
pub fn promise(wish: Wish, author: Author, rest: Rest, waits: Expect, budget: u64) -> Promise {
    if wish != Wish::Stay || author == Author::Refusal {
        return Promise::Close;
    }
    // What the endpoint did not wait for is still on its way to it; it is not ours to skip.
    let ours = author == Author::Proxy && waits == Expect::Nothing;
    match rest {
        Rest::Nothing => Promise::Reuse,
        Rest::Bytes(left) if ours && left <= budget => Promise::Skip,
        Rest::Chunks if ours && budget > 0 => Promise::Skip,
        Rest::Bytes(_) | Rest::Chunks | Rest::Unknown => Promise::Close,
    }
}

/// The client's connection after a whole answer. `here` is whether bytes of the client wait unread, or may
/// while it still takes the answer.
pub fn whole(promise: Promise, wish: Wish, body: BodyReader, here: bool) -> Disposition {
    match (promise, Rest::of(&body)) {
        // An upload may have come to its end behind the answer's head; what was said stays said.
        (Promise::Reuse, _) | (Promise::Skip, Rest::Nothing) => Disposition::Reuse,
        (Promise::Skip, _) => Disposition::Drain(body),
        // The client said that it will send no more, everything that it sent was read, and nothing of the answer can be lost.
        (Promise::Close, Rest::Nothing) if wish == Wish::ClientEnds && !here => Disposition::Close,
        (Promise::Close, _) => Disposition::Linger,
    }
}

/// The client's connection after an answer that broke off, or when there is nobody to answer. `framing` is that of
/// the answer.
pub fn broken(answered: Answered, framing: BodyLength) -> Disposition {
    match (answered, framing) {
        // The end of the connection is the end of the body: only a reset says that it is not (E-042).
        (Answered::Head, BodyLength::UntilClose) => Disposition::Abort,
        _ => Disposition::Close,
    }
}

/// Whether the endpoint has the whole request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// The kernel has its last byte.
    Whole,
    /// Something of it was not read or not sent.
    Part,
}

/// What came behind the end of the endpoint's answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Behind {
    /// Nothing up to now.
    Nothing,
    /// Bytes that nobody asked for.
    Residue,
}

/// The endpoint's connection after a whole answer, by what the answer `says`.
pub fn endpoint(says: Persist, sent: Sent, behind: Behind, asked: Upgrade) -> Persist {
    match (sent, behind, asked) {
        (Sent::Whole, Behind::Nothing, Upgrade::None) => says,
        // With an upgrade asked for: whatever it answered, what the connection carries now was not agreed on.
        _ => Persist::Close,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u64 = 100;

    fn promised(author: Author, rest: Rest, waits: Expect) -> Promise {
        promise(Wish::Stay, author, rest, waits, BUDGET)
    }

    #[test]
    fn what_may_be_taken_for_a_request_ends_the_connection() {
        use Expect::{Continue, Nothing};
        let table = [
            (Author::Endpoint, Rest::Nothing, Nothing, Promise::Reuse),
            (Author::Endpoint, Rest::Nothing, Continue, Promise::Reuse),
            (Author::Endpoint, Rest::Bytes(1), Nothing, Promise::Close),
            (Author::Endpoint, Rest::Chunks, Nothing, Promise::Close),
            (Author::Proxy, Rest::Nothing, Nothing, Promise::Reuse),
            (Author::Proxy, Rest::Bytes(BUDGET), Nothing, Promise::Skip),
            (
                Author::Proxy,
                Rest::Bytes(BUDGET + 1),
                Nothing,
                Promise::Close,
            ),
            (Author::Proxy, Rest::Bytes(1), Continue, Promise::Close),
            (Author::Proxy, Rest::Chunks, Nothing, Promise::Skip),
            (Author::Proxy, Rest::Chunks, Continue, Promise::Close),
            (Author::Proxy, Rest::Unknown, Nothing, Promise::Close),
            (Author::Refusal, Rest::Nothing, Nothing, Promise::Close),
            (Author::Refusal, Rest::Bytes(1), Nothing, Promise::Close),
            (Author::Refusal, Rest::Unknown, Nothing, Promise::Close),
        ];
        for (author, rest, waits, expected) in table {
            let promise = promised(author, rest, waits);
            assert_eq!(promise, expected, "{author:?} {rest:?} {waits:?}");
        }
        for rest in [Rest::Nothing, Rest::Bytes(1), Rest::Chunks] {
            for wish in [Wish::ClientEnds, Wish::WeEnd] {
                let promise = promise(wish, Author::Proxy, rest, Nothing, BUDGET);
                assert_eq!(promise, Promise::Close);
            }
        }
        let none = promise(Wish::Stay, Author::Proxy, Rest::Chunks, Nothing, 0);
        assert_eq!(none, Promise::Close, "nothing is skipped without a budget");
    }

    #[test]
    fn a_close_is_gentle_unless_everything_was_read_and_nothing_will_come() {
        let ended = || BodyReader::Ended;
        let whole = |promise, wish, body, here| whole(promise, wish, body, here);
        assert!(matches!(
            whole(Promise::Close, Wish::ClientEnds, ended(), false),
            Disposition::Close
        ));
        for (wish, body, here) in [
            (Wish::ClientEnds, ended(), true),
            (Wish::ClientEnds, BodyReader::Exact(1), false),
            (Wish::WeEnd, ended(), false),
            (Wish::Stay, BodyReader::UntilClose, false),
        ] {
            let disposition = whole(Promise::Close, wish, body, here);
            assert!(matches!(disposition, Disposition::Linger));
        }
        assert!(matches!(
            whole(Promise::Skip, Wish::Stay, BodyReader::Exact(7), true),
            Disposition::Drain(BodyReader::Exact(7))
        ));
    }

    #[test]
    fn an_endpoint_that_is_owed_or_owes_anything_is_not_used_again() {
        let table = [
            (Sent::Whole, Behind::Nothing, Upgrade::None, Persist::Reuse),
            (Sent::Part, Behind::Nothing, Upgrade::None, Persist::Close),
            (Sent::Whole, Behind::Residue, Upgrade::None, Persist::Close),
            (
                Sent::Whole,
                Behind::Nothing,
                Upgrade::WebSocket,
                Persist::Close,
            ),
        ];
        for (sent, behind, asked, expected) in table {
            assert_eq!(endpoint(Persist::Reuse, sent, behind, asked), expected);
        }
        let later = endpoint(Persist::Later, Sent::Whole, Behind::Nothing, Upgrade::None);
        assert_eq!(later, Persist::Later);
    }
}
