//! What a record has to remember of names: copied behind each other, because a shared name's reference count would bounce between
//! the workers at every exchange.

/// Where one stands. Small: a record may live as long as a tunnel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Nothing, behind this one.
    pub(super) const fn behind(self) -> Self {
        Self {
            start: self.end,
            end: self.end,
        }
    }

    pub(super) const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Where it begins.
    pub(super) const fn start(self) -> usize {
        self.start as usize
    }

    /// Whether nothing was written behind it.
    pub(super) const fn is_last(self, note: &[u8]) -> bool {
        self.end as usize == note.len()
    }

    pub(super) fn of(self, note: &[u8]) -> &[u8] {
        note.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// Writes it down.
pub(super) fn jot(note: &mut Vec<u8>, text: &[u8]) -> Span {
    let start = place(note);
    note.extend_from_slice(text);
    Span {
        start,
        end: place(note),
    }
}

/// Names are short, and so are a dozen of them.
fn place(note: &[u8]) -> u32 {
    u32::try_from(note.len()).unwrap_or(u32::MAX)
}
