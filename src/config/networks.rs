//! Networks and addresses, as lists of them are written.

use ipnet::IpNet;

use super::{Code, Diagnostic, Diagnostics, Spanned};
use crate::base::CidrSet;

/// Reads one, or tells what is wrong with it.
pub fn network(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<IpNet> {
    let found = CidrSet::parse_entry(text);
    if found.is_none() {
        let message = format!("`{}` is not a network", text.escape_debug());
        diagnostics.push(
            Diagnostic::error(Code::BadNetwork, text.span, message)
                .label("expected an address or a network, as in `10.0.0.0/8` or `fd00::/8`"),
        );
    }
    found
}

/// Reads a list; all that is wrong with it is told.
pub fn networks(list: &[Spanned<String>], diagnostics: &mut Diagnostics) -> Option<Vec<IpNet>> {
    let found: Vec<_> = list.iter().map(|it| network(it, diagnostics)).collect();
    found.into_iter().collect()
}
