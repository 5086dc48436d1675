//! Whose request it is, in words.

use super::Limiter;
use crate::message::key::KeyInput;

/// How much of a value that may be a secret is shown, and of any other.
const SHOWN: usize = 6;
const LONGEST: usize = 64;

impl Limiter {
    /// How an operator sees whose request it is. What may be a secret is shown by its beginning.
    pub(super) fn label(&self, input: &KeyInput<'_>) -> Box<str> {
        let mut label = String::new();
        for source in &self.key {
            if !label.is_empty() {
                label.push_str(", ");
            }
            let value = source.read(input).map(|value| value.to_string());
            match value {
                None => label.push('-'),
                Some(value) => {
                    let shown = if source.is_private() { SHOWN } else { LONGEST };
                    label.extend(value.chars().take(shown));
                    if value.len() > shown {
                        label.push('…');
                    }
                }
            }
        }
        label.into()
    }
}
