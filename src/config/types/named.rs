//! Tables whose keys are names that the operator chose.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::config::span::{Span, Spanned};

/// A table of named things, in the order of the file; the names keep their spans. Within one file TOML
/// refuses a second key of the same name; over several files the same name may stand twice, and the
/// duplicate has been reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Named<T>(Vec<(Spanned<String>, T)>);

impl<T> Named<T> {
    /// Names and things in the order of the file.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Spanned<String>, &T)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The names in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.value.as_str())
    }

    /// The first thing of this name.
    pub fn find(&self, name: &str) -> Option<&T> {
        self.0
            .iter()
            .find(|(known, _)| known.value == name)
            .map(|(_, value)| value)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Extend<(Spanned<String>, T)> for Named<T> {
    fn extend<I: IntoIterator<Item = (Spanned<String>, T)>>(&mut self, items: I) {
        self.0.extend(items);
    }
}

impl<T> FromIterator<(Spanned<String>, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (Spanned<String>, T)>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut items: Vec<(Spanned<String>, T)> = Vec::new();
        while let Some(entry) = map.next_entry()? {
            items.push(entry);
        }
        items.sort_by_key(
            |(
                Spanned {
                    span: Span { start, .. },
                    ..
                },
                _,
            )| *start,
        );
        Ok(Named(items))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader(PhantomData))
    }
}
