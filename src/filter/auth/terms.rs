//! `[runtime.passwords]` → [`Terms`].

use std::num::NonZero;

use crate::config::raw::runtime::Passwords;
use crate::config::types::ByteSize;
use crate::config::{Diagnostics, Spanned};
use crate::http1::limits::{number, size, within};

/// What checking passwords may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// How many are hashed at once.
    pub(super) at_once: usize,
    /// How many of all clients are in the line, those that are hashed included.
    pub(super) waiting: usize,
    /// How many of one client.
    pub(super) waiting_per_client: u32,
    /// How many right ones are remembered, and how many wrong ones.
    pub(super) remembered: usize,
    /// Largest cost of a hash of bcrypt.
    pub(super) bcrypt_cost: u32,
    /// Largest memory of a hash of argon2.
    pub(super) argon2_kib: u32,
}

impl Default for Terms {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            at_once: (cores / 2).max(1),
            waiting: 256,
            waiting_per_client: 8,
            remembered: 16_384,
            bcrypt_cost: 15,
            argon2_kib: 256 << 10,
        }
    }
}

impl Terms {
    /// Compiles the table; for what is out of range the default stands in, and that is told.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the ranges that are allowed"
    )]
    pub fn compile(raw: &Passwords, diagnostics: &mut Diagnostics) -> Self {
        let default = Self::default();
        let mut count = |raw: Option<Spanned<u32>>, allowed, default: usize| {
            within(number(raw), allowed, default as u64, diagnostics) as usize
        };
        Self {
            at_once: count(raw.at_once, 1..=1024, default.at_once),
            waiting: count(raw.waiting, 1..=65_536, default.waiting),
            waiting_per_client: count(
                raw.waiting_per_client,
                1..=65_536,
                default.waiting_per_client as usize,
            ) as u32,
            remembered: count(raw.remembered, 16..=4_194_304, default.remembered),
            bcrypt_cost: count(raw.bcrypt_cost, 10..=31, default.bcrypt_cost as usize) as u32,
            argon2_kib: kib(raw.argon2_memory, default.argon2_kib, diagnostics),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "4 GiB are 2^22 KiB")]
fn kib(raw: Option<Spanned<ByteSize>>, default: u32, diagnostics: &mut Diagnostics) -> u32 {
    let default = u64::from(default) << 10;
    (within(size(raw), 8 << 10..=4 << 30, default, diagnostics) >> 10) as u32
}
