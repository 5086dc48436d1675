//! What a route asks of header fields, query, cookies and clients.

use std::collections::HashSet;

use super::super::{Demands, FieldDemand, HostPattern, ValueDemand, Wanted};
use super::conditions::{hosts, refuse_empty};
use crate::base::cidr::CidrSet;
use crate::config::networks::networks;
use crate::config::pattern::{Extent, regex};
use crate::config::raw;
use crate::config::types::Named;
use crate::config::{Code, Diagnostic, Diagnostics, Spanned};
use crate::message::hops::is_token;
use crate::message::key::KeySource;

pub(super) fn compile(raw: &raw::Route, diagnostics: &mut Diagnostics) -> Option<Demands> {
    let exact = fields(&raw.headers, diagnostics, |value| {
        let sent = value
            .bytes()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
        if sent && value.trim_ascii().len() == value.len() {
            return Ok(Wanted::Exactly(value.as_bytes().into()));
        }
        let message = format!("no field can have the value `{}`", value.escape_debug());
        Err(Box::new(
            Diagnostic::error(Code::BadField, value.span, message)
                .note("a value has no control characters and no blanks at its ends"),
        ))
    });
    let like = fields(&raw.headers_regex, diagnostics, |value| {
        regex(value, Extent::Whole).map(Wanted::Like)
    });
    let query = values(&raw.query, diagnostics, |name| {
        (!name.is_empty()).then(|| KeySource::Query(name.into()))
    });
    let cookies = values(&raw.cookies, diagnostics, |name| {
        let sound = !name.is_empty() && name.bytes().all(is_token);
        sound.then(|| KeySource::Cookie(name.into()))
    });
    let clients = clients(raw, diagnostics);
    let names = match &raw.sni {
        None => Some(None),
        Some(list) => server_names(list, diagnostics).map(Some),
    };
    Some(Demands {
        fields: [exact?, like?].concat(),
        values: [query?, cookies?].concat(),
        clients: clients?,
        names: names?,
    })
}

/// No handshake names an address (RFC 6066, 3).
fn server_names(
    list: &Spanned<Vec<Spanned<String>>>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[HostPattern]>> {
    let names = hosts(list, "sni", diagnostics)?;
    let is_address =
        |name: &&Spanned<String>| name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok();
    let Some(address) = list.iter().find(is_address) else {
        return Some(names.into());
    };
    let message = format!("`{}` is not a server name", address.value);
    let diagnostic = Diagnostic::error(Code::BadHost, address.span, message);
    diagnostics.push(diagnostic.label("a handshake names no address"));
    None
}

fn fields(
    raw: &Named<Spanned<String>>,
    diagnostics: &mut Diagnostics,
    wanted: impl Fn(&Spanned<String>) -> Result<Wanted, Box<Diagnostic>>,
) -> Option<Vec<FieldDemand>> {
    let mut seen = HashSet::new();
    let mut demands = Some(Vec::with_capacity(raw.len()));
    for (name, value) in raw.iter() {
        let lower = name.to_ascii_lowercase();
        let problem = if name.is_empty() || !name.bytes().all(is_token) {
            Some(bad_name(name, "a field name is a word without blanks"))
        } else if !seen.insert(lower.clone()) {
            let message = format!("field `{}` stands here twice", name.value);
            let error = Diagnostic::error(Code::DuplicateName, name.span, message);
            Some(error.note("the case of a field name makes no difference"))
        } else {
            None
        };
        let wanted = wanted(value).map_err(|error| diagnostics.push(*error));
        match (problem, wanted, &mut demands) {
            (None, Ok(wanted), Some(demands)) => demands.push(FieldDemand {
                name: lower.into_bytes().into(),
                wanted,
            }),
            (Some(problem), _, _) => {
                diagnostics.push(problem);
                demands = None;
            }
            (None, _, _) => demands = None,
        }
    }
    demands
}

fn values(
    raw: &Named<Spanned<String>>,
    diagnostics: &mut Diagnostics,
    source: impl Fn(&str) -> Option<KeySource>,
) -> Option<Vec<ValueDemand>> {
    let mut demands = Some(Vec::with_capacity(raw.len()));
    for (name, value) in raw.iter() {
        match (source(name), &mut demands) {
            (Some(source), Some(demands)) => demands.push(ValueDemand {
                source,
                value: value.as_bytes().into(),
            }),
            (Some(_), None) => {}
            (None, _) => {
                diagnostics.push(bad_name(name, "no request can have it"));
                demands = None;
            }
        }
    }
    demands
}

fn bad_name(name: &Spanned<String>, label: &str) -> Diagnostic {
    let message = format!("`{}` is not a name to look for", name.escape_debug());
    Diagnostic::error(Code::BadField, name.span, message).label(label)
}

#[expect(
    clippy::option_option,
    reason = "the outer says that it is sound, the inner that it is there"
)]
fn clients(raw: &raw::Route, diagnostics: &mut Diagnostics) -> Option<Option<CidrSet>> {
    let Some(list) = &raw.clients else {
        return Some(None);
    };
    refuse_empty(list, "clients", diagnostics)?;
    let nets = networks(list, diagnostics)?;
    Some(Some(CidrSet::new(&nets)))
}
