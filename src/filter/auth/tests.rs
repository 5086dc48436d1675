//! Hashes, users, and the line for hashing.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::hash::Hash;
use super::{Asked, Claim, Full, Proof, Proofs, Terms, Users};
use crate::base::clock;
use crate::config::types::FilePath;
use crate::config::{Beside, Diagnostics, Span, Spanned};

/// Of `open sesame`, as cheap as it gets.
const BCRYPT: &str = "$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm";
/// Of `hunter2`.
const ARGON: &str =
    "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$RImIjsyxaIflNWFI1IH5rOtwoBK9E4w1E8aTF6j+8ew";

struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn users(name: &str, text: &str) -> Result<Users, String> {
    let path = std::env::temp_dir().join(format!("tg-users-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let file = File(path);
    let mut diagnostics = Diagnostics::default();
    let path = Spanned::new(FilePath(file.0.clone()), Span::default());
    Users::read(
        &path,
        &Beside::default(),
        Terms::default(),
        &mut diagnostics,
    )
    .ok_or_else(|| diagnostics.lines().collect())
}

fn claim<'a>(user: &'a str, password: &'a str, client: u8) -> Claim<'a> {
    Claim {
        user: user.as_bytes(),
        password: password.as_bytes(),
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, client)),
    }
}

#[test]
fn hashes_are_of_their_password_and_of_no_other() {
    for (text, password) in [(BCRYPT, "open sesame"), (ARGON, "hunter2")] {
        let hash = Hash::parse(text, Terms::default()).unwrap();
        assert!(hash.is_of(password.as_bytes()));
        for wrong in ["", "hunter", "hunter22", "open sesamE"] {
            assert!(!hash.is_of(wrong.as_bytes()), "{wrong}");
        }
    }
    for wrong in [
        "",
        "secret",
        "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        "$apr1$x$y",
        "$2y$31$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm",
        "$2y$04$short",
        "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$RImIjsyxaIflNWFI1IH5rOtwoBK9E4w1E8aTF6j+8ew",
        "$argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHQ$RImIjsyxaIflNWFI1IH5rOtwoBK9E4w1E8aTF6j+8ew",
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$RImIjsyx",
    ] {
        let why = Hash::parse(wrong, Terms::default()).unwrap_err();
        assert!(wrong.is_empty() || !why.contains(wrong), "{why}");
    }
}

#[test]
fn a_file_of_users_is_read_line_by_line() {
    assert!(users("good", &format!("# them\n\nann:{BCRYPT}\nbob:{ARGON}\n")).is_ok());
    for (name, text, wanted) in [
        ("none", "# nobody\n".to_owned(), "has no user"),
        ("plain", format!("ann:{BCRYPT}\nbob:secret\n"), "line 2"),
        ("twice", format!("ann:{BCRYPT}\nann:{ARGON}\n"), "line 2"),
        ("blank", format!("an n:{BCRYPT}\n"), "line 1"),
        ("form", "ann\n".to_owned(), "line 1"),
    ] {
        let said = users(name, &text).unwrap_err();
        assert!(
            said.contains(wanted) && !said.contains("secret"),
            "{name}: {said}"
        );
    }
}

#[test]
fn what_was_hashed_is_remembered_for_a_while() {
    let users = users("known", &format!("ann:{BCRYPT}\n")).unwrap();
    let proofs: Arc<Proofs> = Arc::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let now = clock::now();
    for (user, password, wanted) in [
        ("ann", "open sesame", Proof::Right),
        ("ann", "closed", Proof::Wrong),
        // The decoy's own password makes nobody right.
        ("eve", "open sesame", Proof::Wrong),
    ] {
        let Asked::Hash(job) = proofs.ask(&users, claim(user, password, 1), Terms::default(), now)
        else {
            panic!("{user} was never asked for");
        };
        assert_eq!(runtime.block_on(job.proof()), wanted, "{user}");
        let again = proofs.ask(
            &users,
            claim(user, password, 1),
            Terms::default(),
            clock::now(),
        );
        assert!(
            matches!(again, Asked::Known(known) if known == wanted),
            "{user}"
        );
        let later = clock::now() + Duration::from_secs(301);
        let later = proofs.ask(&users, claim(user, password, 1), Terms::default(), later);
        assert!(matches!(later, Asked::Hash(_)), "{user}");
    }
    assert_eq!(proofs.remembered(), (1, 2));
}

/// A password that was right for a user of one file opens nothing where the file does not have that user, although its hash
/// is the decoy there: with another filter, and after a reload that has given the line to another name.
#[test]
fn what_is_remembered_of_a_user_is_not_true_of_nobody() {
    let with_ann = users("with-ann", &format!("ann:{BCRYPT}\n")).unwrap();
    let renamed = users("renamed", &format!("bob:{BCRYPT}\nann2:{ARGON}\n")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let proofs: Arc<Proofs> = Arc::default();
    let ann = claim("ann", "open sesame", 1);
    let prove = |users: &Users| match proofs.ask(users, ann, Terms::default(), clock::now()) {
        Asked::Hash(job) => runtime.block_on(job.proof()),
        Asked::Known(proof) => proof,
        Asked::Full(_) => panic!("nobody else asks"),
    };
    assert_eq!(prove(&with_ann), Proof::Right);
    for _ in 0..2 {
        assert_eq!(prove(&renamed), Proof::Wrong);
        assert_eq!(prove(&with_ann), Proof::Right);
    }
    assert_eq!(proofs.remembered(), (1, 1));
}

#[test]
fn what_is_remembered_has_a_bound_and_guesses_drive_out_guesses_alone() {
    let proofs = Proofs::default();
    let now = clock::now();
    proofs.note_for_test(7, Proof::Right, now);
    for key in 0..100_000 {
        proofs.note_for_test(key, Proof::Wrong, now);
    }
    let (right, wrong) = proofs.remembered();
    assert!(right == 1 && wrong <= 16_384, "{right} {wrong}");
}

#[test]
fn the_line_is_short_for_one_client_and_for_all() {
    let users = users("line", &format!("ann:{BCRYPT}\n")).unwrap();
    let proofs: Arc<Proofs> = Arc::default();
    let now = clock::now();
    let mut waiting = Vec::new();
    for client in 0..=32 {
        for guess in 0..9 {
            let password = format!("{guess}");
            match proofs.ask(
                &users,
                claim("ann", &password, client),
                Terms::default(),
                now,
            ) {
                Asked::Hash(job) => waiting.push(job),
                Asked::Full(Full::OfClient) => assert_eq!(guess, 8),
                Asked::Full(Full::OfAll) => assert_eq!(client, 32),
                Asked::Known(_) => panic!("nothing was hashed"),
            }
        }
    }
    assert_eq!(waiting.len(), 256);
    drop(waiting);
    let asked = proofs.ask(&users, claim("ann", "x", 32), Terms::default(), now);
    assert!(
        matches!(asked, Asked::Hash(_)),
        "who leaves gives the place back"
    );
}
