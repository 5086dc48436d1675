//! Names with underscores: many origins (CGI and its heirs) read `X_Forwarded_For` as `X-Forwarded-For`, so a
//! name that we set or trust has such spellings too (E-114).

use super::field::Known;

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

/// Whether a name with underscores is another spelling of a name that we set or trust.
pub fn is_alias(name: &[u8]) -> bool {
    const LONGEST: usize = 32;
    if memchr::memchr(b'_', name).is_none() {
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
    fn names_are_compared_without_case_and_kind_of_dash() {
        assert!(same(b"X_Tenant-Id", b"x-tenant_id"));
        assert!(!same(b"x-tenant", b"x-tenants"));
        assert!(!same(b"xtenant", b"x-tenant"[..7].as_ref()));
    }
}
