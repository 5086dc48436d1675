//! Authentication that belongs to a connection and not to a request.

/// Schemes whose exchange authenticates the connection that it runs over (RFC 4559, section 6; NTLM does the same):
/// whoever uses that connection next is taken for the one who authenticated.
const BOUND: [&[u8]; 2] = [b"ntlm", b"negotiate"];

/// Whether a value of `WWW-Authenticate` or `Authorization` names such a scheme. A quoted comma may make it see one
/// where there is none, which costs a connection and nothing else.
pub fn binds_connection(value: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|part| {
        let part = part.trim_ascii_start();
        let scheme = part.split(u8::is_ascii_whitespace).next();
        scheme.is_some_and(|scheme| BOUND.iter().any(|bound| bound.eq_ignore_ascii_case(scheme)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_schemes_of_connections() {
        for value in [
            "NTLM",
            "Negotiate",
            "negotiate oYG2MIGz",
            "ntlm TlRMTVNTUAABAAAA",
            "Basic realm=\"x\", NTLM",
            "Negotiate,Basic realm=x",
            "\tNTLM",
        ] {
            assert!(binds_connection(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            "Basic bnRsbQ==",
            "Bearer ntlm",
            "NTLMv2",
            "Digest realm=ntlm",
        ] {
            assert!(!binds_connection(value.as_bytes()), "{value}");
        }
    }
}
