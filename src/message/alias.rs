//! Names with underscores: many origins (CGI and its heirs) read `X_Forwarded_For` as `X-Forwarded-For`, so a
//! name that we set or trust has such spellings too (E-114).

use super::field::{Known, words};

/// Whether two names are one to an origin that takes `_` for `-`, whatever their case.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| fold(a) == fold(b))
}

const fn fold(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    }
}

/// Asked of every name that we do not know; of most, two words of eight bytes are all.
#[inline]
fn has_underscore(name: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Whether a byte of it is zero (H. S. Warren, Hacker's Delight, 6-1).
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7) != 0;
    let has = |word: u64| has_zero(word ^ u64::from_le_bytes([b'_'; 8]));
    match words(name) {
        Some((first, last)) if name.len() <= 16 => has(first) || has(last),
        _ => name.contains(&b'_'),
    }
}

/// Whether a name with underscores is another spelling of a name that we set or trust.
pub fn is_alias(name: &[u8]) -> bool {
    const LONGEST: usize = 32;
    if !has_underscore(name) {
        return false;
    }
    let mut dashed = [0u8; LONGEST];
    for (slot, &byte) in dashed.iter_mut().zip(name) {
        *slot = fold(byte);
    }
    // Of a longer name the beginning decides: no known name is as long, but families have no end.
    let known = Known::of(dashed.get(..name.len().min(LONGEST)).unwrap_or_default());
    known.is_forwarding()
        || known.is_hop_by_hop()
        || matches!(
            known,
            Known::Host
                | Known::ContentLength
                | Known::XRequestId
                | Known::Authorization
                | Known::Cookie
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_spellings_are_aliases() {
        for name in [
            "X_Forwarded_For",
            "x-forwarded_proto",
            "X_FORWARDED_ANYTHING_AT_ALL_WITH_A_LONG_NAME",
            "x_real_ip",
            "transfer_encoding",
            "CONTENT_LENGTH",
            "proxy_connection",
        ] {
            assert!(is_alias(name.as_bytes()), "{name}");
        }
        for name in [
            "X-Forwarded-For",
            "x_forwarded",
            "my_header",
            "user_agent",
            "_",
            "",
        ] {
            assert!(!is_alias(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn an_underscore_is_found_wherever_it_is() {
        for len in 0..40 {
            let mut name = vec![b'-'; len];
            assert!(!has_underscore(&name));
            for at in 0..len {
                name[at] = b'_';
                assert!(has_underscore(&name), "{at} of {len}");
                name[at] = 0x60;
                assert!(!has_underscore(&name), "{at} of {len}");
            }
        }
    }

    #[test]
    fn names_are_compared_without_case_and_kind_of_dash() {
        assert!(same(b"X_Tenant-Id", b"x-tenant_id"));
        assert!(!same(b"x-tenant", b"x-tenants"));
        assert!(!same(b"xtenant", b"x-tenant"[..7].as_ref()));
    }
}
