//! Configuration text → raw serde types with spans → diagnostics that say where, what and how to mend it.
//!
//! **Invariants.** Any bytes give `Ok` or `Err`, never a panic. Nothing here knows what a value means: the
//! room that owns a thing gives it meaning in its own `compile(&raw::X, …, &mut Diagnostics)`, and collects
//! all errors before it fails. A literal secret is never printed: its bytes are masked in every snippet.
//!
//! **Not here.** Runtime types (each in its room), reload triggers (`reload`), the commands (`cli`).

pub mod beside;
pub mod diagnostic;
pub mod networks;
pub mod pattern;
pub mod raw;
pub mod source;
pub mod span;
pub mod types;

mod include;
mod load;
mod mask;
mod shape;
mod strict;
mod suggest;
mod whole;

pub use beside::{Beside, Seen};
pub use diagnostic::{Code, Color, Diagnostic, Diagnostics, Severity};
pub use load::{Loaded, load, parse};
pub use source::Files;
pub use span::{FileId, Span, Spanned};
pub use suggest::suggest;
pub use whole::serves;

#[cfg(test)]
mod tests;
