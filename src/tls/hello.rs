//! A look into a client hello that is not ours to answer: which name and which protocols the client asks for.
//!
//! Sans-io. Nothing is decrypted and nothing is changed; the bytes go on as they came. Numbers are those of RFC 8446 (records and
//! messages), RFC 6066 (server name) and RFC 7301 (ALPN).

use super::reader::Reader;

/// The longest that a client hello, its records included, may be before it is refused. The largest in use, with
/// post-quantum key shares and tickets, have a few KiB.
pub const MAX_HELLO: usize = 16 * 1024;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const HOST_NAME: u8 = 0;

/// What a client asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// The server's name in lower case.
    pub server_name: Option<Box<[u8]>>,
    /// The protocols that it offers, most wanted first, each behind its length.
    alpn: Box<[u8]>,
}

impl Asked {
    /// The protocols that it offers, most wanted first.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.alpn[..];
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first()?;
            let (protocol, behind) = behind.split_at_checked(usize::from(*length))?;
            rest = behind;
            Some(protocol)
        })
    }
}

/// How far a client hello has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Looked {
    /// More bytes are needed.
    Partial,
    /// It is not TLS.
    Other,
    /// It is whole.
    Whole(Asked),
}

/// It begins like TLS, and is malformed or too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// Looks at the first bytes of a connection, in whatever records they come.
pub fn look(bytes: &[u8]) -> Result<Looked, Malformed> {
    match bytes {
        [] => return Ok(Looked::Partial),
        [HANDSHAKE] | [HANDSHAKE, 3, ..] => {}
        [..] => return Ok(Looked::Other),
    }
    let Some(message) = message(bytes)? else {
        return if bytes.len() < MAX_HELLO {
            Ok(Looked::Partial)
        } else {
            Err(Malformed)
        };
    };
    let mut reader = Reader(&message);
    asked(&mut reader).map(Looked::Whole).ok_or(Malformed)
}

/// The first message, taken out of its records; `None` while it is not whole.
fn message(bytes: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut rest = bytes;
    let mut message = Vec::new();
    loop {
        let [kind, version, _, high, low, payload @ ..] = rest else {
            return match rest {
                [kind, ..] if *kind != HANDSHAKE => Err(Malformed),
                _ => Ok(None),
            };
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        // A record of a handshake is never empty (RFC 8446, 5.1).
        if *kind != HANDSHAKE || *version != 3 || length == 0 || length > 1 << 14 {
            return Err(Malformed);
        }
        let here = payload.get(..length.min(payload.len())).unwrap_or_default();
        message.extend_from_slice(here);
        if let [kind, a, b, c, body @ ..] = &message[..] {
            let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
            if *kind != CLIENT_HELLO || length > MAX_HELLO {
                return Err(Malformed);
            }
            if let Some(body) = body.get(..length) {
                return Ok(Some(body.to_vec()));
            }
        } else if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Malformed);
        }
        let Some(next) = payload.get(length..) else {
            return Ok(None);
        };
        rest = next;
    }
}

/// Walks the body of a client hello (RFC 8446, 4.1.2).
fn asked(hello: &mut Reader<'_>) -> Option<Asked> {
    hello.take(2 + 32)?;
    hello.vector8()?;
    hello.vector16()?;
    hello.vector8()?;
    let mut asked = Asked::default();
    if hello.0.is_empty() {
        return Some(asked);
    }
    let mut extensions = hello.vector16()?;
    if !hello.0.is_empty() {
        return None;
    }
    let (mut named, mut offered) = (false, false);
    while !extensions.0.is_empty() {
        let kind = extensions.short()?;
        let mut value = extensions.vector16()?;
        match kind {
            // No extension may stand twice: which of the two would the endpoint believe?
            SERVER_NAME if std::mem::replace(&mut named, true) => return None,
            SERVER_NAME => server_name(&mut value, &mut asked.server_name)?,
            ALPN if std::mem::replace(&mut offered, true) => return None,
            ALPN => asked.alpn = protocols(&mut value)?,
            _ => {}
        }
    }
    Some(asked)
}

/// The name of type `host_name`, of which there is at most one (RFC 6066, 3).
fn server_name(value: &mut Reader<'_>, found: &mut Option<Box<[u8]>>) -> Option<()> {
    let mut list = value.vector16()?;
    while !list.0.is_empty() {
        let kind = list.byte()?;
        let name = list.vector16()?.0;
        if kind != HOST_NAME {
            continue;
        }
        // Some clients send the dot that ends a name.
        let name = name.strip_suffix(b".").unwrap_or(name);
        let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if found.is_some() || name.is_empty() || name.len() > 255 || !name.iter().all(sound) {
            return None;
        }
        *found = Some(name.to_ascii_lowercase().into());
    }
    value.0.is_empty().then_some(())
}

/// The list as it is, when every protocol in it has a name.
fn protocols(value: &mut Reader<'_>) -> Option<Box<[u8]>> {
    let list = value.vector16()?;
    let kept = list.0;
    let mut walk = list;
    while !walk.0.is_empty() {
        if walk.vector8()?.0.is_empty() {
            return None;
        }
    }
    (value.0.is_empty() && !kept.is_empty()).then(|| kept.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn vector(bytes: &[u8], width: usize) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[4 - width..], bytes].concat()
    }

    fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(value, 2)].concat()
    }

    fn name(name: &[u8]) -> Vec<u8> {
        let entry = [&[HOST_NAME][..], &vector(name, 2)].concat();
        extension(SERVER_NAME, &vector(&entry, 2))
    }

    fn alpn(names: &[&str]) -> Vec<u8> {
        let list: Vec<u8> = names
            .iter()
            .flat_map(|it| vector(it.as_bytes(), 1))
            .collect();
        extension(ALPN, &vector(&list, 2))
    }

    /// A client hello with these extensions, in records of so many bytes.
    fn hello(extensions: &[Vec<u8>], record: usize) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend(vector(&[9; 32], 1));
        body.extend(vector(&[0x13, 1, 0x13, 2], 2));
        body.extend(vector(&[0], 1));
        body.extend(vector(&extensions.concat(), 2));
        records(&[&[CLIENT_HELLO][..], &vector(&body, 3)].concat(), record)
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |part: &[u8]| [&[HANDSHAKE, 3, 1][..], &vector(part, 2)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    /// What a client with this name and these protocols asks for.
    pub(crate) fn asking(server_name: Option<&str>, protocols: &[&str]) -> Asked {
        let mut extensions: Vec<_> = server_name
            .map(|it| name(it.as_bytes()))
            .into_iter()
            .collect();
        if !protocols.is_empty() {
            extensions.push(alpn(protocols));
        }
        match look(&hello(&extensions, 1 << 14)) {
            Ok(Looked::Whole(asked)) => asked,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_found_in_any_records_and_at_no_earlier_point() {
        let extensions = [
            extension(0x0A0A, b""),
            name(b"DB.Example.com"),
            extension(43, b"\x02\x03\x04"),
            alpn(&["h2", "http/1.1"]),
            extension(21, &[0; 300]),
        ];
        for record in [1, 2, 3, 5, 50, 100, 1 << 14] {
            let bytes = hello(&extensions, record);
            for split in (0..bytes.len()).step_by(if record < 5 { 7 } else { 1 }) {
                assert_eq!(
                    look(&bytes[..split]),
                    Ok(Looked::Partial),
                    "{split}, {record}"
                );
            }
            let Ok(Looked::Whole(asked)) = look(&[&bytes[..], b"behind"].concat()) else {
                panic!("{record}");
            };
            assert_eq!(asked.server_name.as_deref(), Some(&b"db.example.com"[..]));
            assert!(asked.alpn().eq([&b"h2"[..], b"http/1.1"]));
        }
    }

    #[test]
    fn a_client_need_not_ask_for_anything() {
        let empty = Ok(Looked::Whole(Asked::default()));
        assert_eq!(look(&hello(&[], 1 << 14)), empty);
        // Without the field for extensions altogether, as in TLS 1.0.
        let mut body = vec![3, 1];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0, 47, 1, 0]);
        let message = [&[CLIENT_HELLO][..], &vector(&body, 3)].concat();
        assert_eq!(look(&records(&message, 1 << 14)), empty);
    }

    #[test]
    fn other_protocols_are_told_apart_by_their_first_bytes() {
        for other in [
            "GET / HTTP/1.1",
            "\0",
            "SSH-2.0-x",
            "\x16\x02",
            "\x15\x03\x01",
        ] {
            assert_eq!(look(other.as_bytes()), Ok(Looked::Other), "{other:?}");
        }
        assert_eq!(look(b"\x16"), Ok(Looked::Partial));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let entry = |kind: u8, name: &[u8]| [&[kind][..], &vector(name, 2)].concat();
        let two = [entry(0, b"a"), entry(0, b"b")].concat();
        for extensions in [
            vec![name(b"a"), name(b"b")],
            vec![name(b"")],
            vec![name(b"a b")],
            vec![name(b"a\0.example.com")],
            vec![name(&[b'a'; 256])],
            vec![extension(SERVER_NAME, b"")],
            vec![extension(SERVER_NAME, b"\0\x09\0\0\x01a")],
            vec![extension(SERVER_NAME, &vector(&two, 2))],
            vec![alpn(&[]), alpn(&["h2"])],
            vec![alpn(&[""])],
            vec![alpn(&["h2"]), alpn(&["h2"])],
            vec![b"\0".to_vec()],
        ] {
            let bytes = hello(&extensions, 1 << 14);
            assert_eq!(look(&bytes), Err(Malformed), "{}", bytes.escape_ascii());
        }
        for bytes in [
            &b"\x16\x03\x01\0\0"[..],
            b"\x16\x03\x01\x40\x01",
            b"\x16\x03\x01\0\x01\x02",
            b"\x16\x03\x01\0\x04\x01\x01\0\0",
            b"\x16\x03\x01\0\x01\x01\x17",
        ] {
            assert_eq!(look(bytes), Err(Malformed), "{}", bytes.escape_ascii());
        }
        // Too long is refused as soon as so much is there, whatever was declared.
        let long = hello(&[extension(21, &[0; 16_000])], 100);
        assert_eq!(look(&long[..MAX_HELLO]), Err(Malformed));
    }
}
