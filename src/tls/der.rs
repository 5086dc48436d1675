//! Values in DER, one in the other.

use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode, Reader, SliceReader, Tag, TagNumber};

/// Values in a row, which must be nothing else.
pub(super) fn row(bytes: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut values = Vec::new();
    while !reader.is_finished() {
        values.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(values)
}

/// What is in the one value that these bytes are, if it has this tag.
pub(super) fn only(bytes: &[u8], tag: Tag) -> Option<&[u8]> {
    match row(bytes)?.as_slice() {
        [value] => inside(*value, tag),
        _ => None,
    }
}

/// What is in a value, if it has this tag.
pub(super) fn inside(value: AnyRef<'_>, tag: Tag) -> Option<&[u8]> {
    (value.header().tag() == tag).then(|| value.value())
}

/// The values of a sequence.
pub(super) fn sequence(value: AnyRef<'_>) -> Option<Vec<AnyRef<'_>>> {
    row(inside(value, Tag::Sequence)?)
}

/// A tag whose meaning is that of its place.
pub(super) const fn place(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific {
        constructed,
        number: TagNumber(number),
    }
}
