//! Pages of the program that only its start needed: reading the configuration, setting up TLS, the command line.
//!
//! The kernel maps sixteen pages of a file around each that is touched, so that after the start most of the program counts
//! as resident and each page is as warm to the kernel as those that serve. Given back they stay in the page cache, come back
//! by a minor fault where they are needed after all, and are the first to go where memory is short.

use std::fs;
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};

/// A part of the program's file in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Mapping {
    start: usize,
    length: usize,
}

/// Gives back what the start touched of the program's own file; nothing where `/proc` does not say.
pub(super) fn give_back() {
    let (Ok(program), Ok(maps)) = (
        fs::read_link("/proc/self/exe"),
        fs::read_to_string("/proc/self/smaps"),
    ) else {
        return;
    };
    for mapping in untouched(&maps, &program.to_string_lossy()) {
        give(mapping);
    }
}

#[expect(
    unsafe_code,
    reason = "nix has no safe form: for memory that was written it would lose what was"
)]
fn give(Mapping { start, length }: Mapping) {
    let Some(start) = NonNull::new(std::ptr::with_exposed_provenance_mut(start)) else {
        return;
    };
    // SAFETY: a mapping of a file that cannot be written while it runs (ETXTBSY), not writable itself, of which no page was
    // copied: whoever touches it again reads the same bytes from the file (madvise(2), MADV_DONTNEED).
    let given = unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) };
    if let Err(error) = given {
        tracing::debug!(%error, "pages of the start are kept");
    }
}

/// Mappings of the program that are never written, and of which no page was copied, in memory or in swap: relocations and a
/// debugger's breakpoints are in copies.
fn untouched(smaps: &str, program: &str) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Anonymous:"), Some(copied)) if copied != "0" => candidate = None,
            (Some("Swap:"), Some(swapped)) => {
                found.extend(candidate.take().filter(|_| swapped == "0"));
            }
            (Some(range), Some("r-xp" | "r--p")) if line.ends_with(program) => {
                candidate = mapping(range);
            }
            (Some(key), _) if !key.ends_with(':') => candidate = None,
            _ => {}
        }
    }
    found
}

fn mapping(range: &str) -> Option<Mapping> {
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some(Mapping {
        start,
        length: end.checked_sub(start)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-3000 r--p 00000000 fe:00 77 /usr/bin/tidegate
Rss:                   8 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
3000-8000 r-xp 00002000 fe:00 77 /usr/bin/tidegate
Rss:                  20 kB
Anonymous:             0 kB
Swap:                  0 kB
8000-9000 r-xp 00007000 fe:00 77 /usr/bin/tidegate
Anonymous:             4 kB
Swap:                  0 kB
9000-a000 r--p 00008000 fe:00 77 /usr/bin/tidegate
Anonymous:             0 kB
Swap:                  4 kB
a000-b000 rw-p 00009000 fe:00 77 /usr/bin/tidegate
Anonymous:             0 kB
Swap:                  0 kB
b000-c000 r-xp 00000000 fe:00 78 /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                  0 kB
c000-d000 rw-p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
";

    #[test]
    fn only_pages_that_are_still_the_files_are_given_back() {
        let given = untouched(SMAPS, "/usr/bin/tidegate");
        let expected = [(0x1000, 0x2000), (0x3000, 0x5000)];
        let expected = expected.map(|(start, length)| Mapping { start, length });
        assert_eq!(given, expected);
    }

    /// Of the kernel that this runs on, and the program goes on.
    #[test]
    fn the_kernel_says_what_can_be_given_back() {
        let program = fs::read_link("/proc/self/exe").unwrap();
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let code = the_kernel_says_what_can_be_given_back as fn() as usize;
        let holds_code = |it: &Mapping| (it.start..it.start + it.length).contains(&code);
        let found = untouched(&maps, program.to_str().unwrap());
        assert!(found.iter().any(holds_code), "{found:x?}");
        give_back();
    }
}
