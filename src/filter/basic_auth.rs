//! `basic_auth`: users and passwords (RFC 7617).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::auth::{self, Asked, Claim, Credentials, Full, Proof, Proofs, Terms, Users};
use super::compile::bad_name;
use super::kept::Over;
use super::{Parts, Place, Reply, RequestView, Until, Verdict, check_name};
use crate::base::{Detail, Reason};
use crate::config::raw::filter as raw;
use crate::config::{Diagnostics, Spanned};
use crate::message::Known;

/// Longest name and password together.
const MAX_CREDENTIALS: usize = 512;

/// The filter.
#[derive(Clone, Debug)]
pub struct BasicAuth {
    users: Arc<Users>,
    proofs: Arc<Proofs>,
    terms: Terms,
    credentials: Credentials,
    /// Tells the endpoint who it is.
    user_header: Option<Box<str>>,
    challenge: Reply,
    busy: Reply,
    full: Reply,
}

impl BasicAuth {
    pub(super) fn compile(
        raw: &raw::BasicAuth,
        parts: Parts<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let users = Users::read(&raw.users_file, parts.files, parts.passwords, diagnostics);
        let realm = auth::realm(raw.realm.as_ref(), diagnostics);
        let user_header = user_header(raw.user_header.as_ref(), diagnostics);
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", realm?);
        Some(Self {
            users: Arc::new(users?),
            proofs: Arc::clone(&parts.kept.proofs),
            terms: parts.passwords,
            credentials: Credentials::of(raw.credentials.as_ref()),
            user_header: user_header.ok()?,
            challenge: unauthorized(&challenge, Detail::None),
            busy: Reply::refusal(Reason::RateLimited, Detail::Hashing),
            full: Reply::refusal(Reason::Overloaded, Detail::Hashing),
        })
    }

    /// Decides; a password that is not known waits for its hash.
    pub fn on_request(&self, view: &mut RequestView<'_>) -> Verdict {
        let mut room = [0; MAX_CREDENTIALS];
        let Some((user, password)) = credentials(view, &mut room) else {
            return Verdict::Respond(self.challenge.clone());
        };
        let proof = if let Some(Over::Proof(proof)) = view.progress.answer.take() {
            proof
        } else {
            let claim = Claim {
                user,
                password,
                client: view.facts.client,
            };
            match self
                .proofs
                .ask(&self.users, claim, self.terms, view.facts.now)
            {
                Asked::Known(proof) => proof,
                Asked::Hash(job) => return Verdict::Wait(Until::Proof(job)),
                Asked::Full(Full::OfClient) => return Verdict::Respond(self.busy.clone()),
                Asked::Full(Full::OfAll) => return Verdict::Respond(self.full.clone()),
            }
        };
        match proof {
            Proof::Wrong => Verdict::Respond(self.challenge.clone()),
            Proof::Right => {
                if self.credentials == Credentials::Removed {
                    view.edits.spend(b"authorization");
                }
                if let Some(header) = &self.user_header {
                    view.edits.set(header.as_bytes(), user);
                }
                Verdict::Continue
            }
        }
    }
}

/// Checks the field that tells the endpoint who it is. What the client itself sends in it is removed.
pub(super) fn user_header(
    raw: Option<&Spanned<String>>,
    diagnostics: &mut Diagnostics,
) -> Result<Option<Box<str>>, Told> {
    let Some(raw) = raw else { return Ok(None) };
    if let Err(error) = check_name(raw, Place::Request) {
        diagnostics.push(bad_name(raw, error));
        return Err(Told);
    }
    Ok(Some(raw.as_str().into()))
}

/// What is wrong has been told.
pub(super) struct Told;

/// A 401 with its challenge.
pub(super) fn unauthorized(challenge: &str, detail: Detail) -> Reply {
    let challenge = [(b"www-authenticate".as_slice(), challenge.as_bytes())];
    Reply::told(401, Reason::Unauthorized, detail, &challenge)
}

/// Name and password. More than one Authorization field is none: nobody can say which the endpoint reads.
fn credentials<'r>(
    view: &RequestView<'_>,
    room: &'r mut [u8; MAX_CREDENTIALS],
) -> Option<(&'r [u8], &'r [u8])> {
    let mut given = view
        .head
        .fields()
        .iter()
        .filter(|field| field.known == Known::Authorization);
    let (Some(field), None) = (given.next(), given.next()) else {
        return None;
    };
    let value = view.head.value(field);
    let (scheme, token) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let length = STANDARD.decode_slice(token.trim_ascii(), room).ok()?;
    let text = room.get(..length)?;
    let colon = memchr::memchr(b':', text)?;
    Some((text.get(..colon)?, text.get(colon + 1..)?))
}
