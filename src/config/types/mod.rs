//! Values that more than one table uses: each is parsed where it is read, so an error has a span.

mod choice;
mod duration;
mod named;
mod number;
mod one_or_many;
mod path;
mod secret;
mod size;
mod status;

pub use choice::Choice;
pub use duration::Duration;
pub use named::Named;
pub use number::{Percent, Ratio};
pub use one_or_many::OneOrMany;
pub use path::FilePath;
pub use secret::{OwnText, Secret, SecretError};
pub use size::ByteSize;
pub use status::StatusRange;

use super::diagnostic::Code;
use super::span::{Fault, Scope};

/// A refusal of a visitor with its code and hint; they reach the diagnostic through the scope.
pub(super) fn refuse<E: serde::de::Error>(
    code: Code,
    message: impl Into<String>,
    hint: Option<String>,
) -> E {
    let message = message.into();
    let error = E::custom(&message);
    Scope::refuse(Fault {
        code,
        message,
        hint,
    });
    error
}
