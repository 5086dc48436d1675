use super::*;

const ROOM: usize = 32;

/// What goes on of a body that comes in these pieces.
fn passes(form: Form, pieces: &[&[u8]]) -> Result<Vec<u8>, Detail> {
    let mut call = Call::new(form, form);
    let mut whole = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let more = if at + 1 == pieces.len() {
            More::Ended
        } else {
            More::Follows
        };
        let mut scratch = vec![b'#'; ROOM + piece.len() + ROOM];
        scratch[ROOM..ROOM + piece.len()].copy_from_slice(piece);
        let data = call.request(&mut scratch, ROOM..ROOM + piece.len(), more)?;
        whole.extend_from_slice(&scratch[data]);
    }
    Ok(whole)
}

fn text(form: Form, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::data(form, bytes, &mut out);
    out
}

/// Two messages: one of 7 bytes, and an empty one that says it is compressed.
const MESSAGES: &[u8] = b"\0\0\0\0\x07message\x01\0\0\0\0";

#[test]
fn bodies_may_be_cut_anywhere() {
    let padded = [
        text(Form::Text, &MESSAGES[..1]),
        text(Form::Text, &MESSAGES[1..6]),
        text(Form::Text, &MESSAGES[6..]),
    ];
    for (form, body) in [
        (Form::Binary, MESSAGES.to_vec()),
        (Form::Text, text(Form::Text, MESSAGES)),
        (Form::Text, padded.concat()),
    ] {
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let pieces = [&body[..first], &body[first..second], &body[second..]];
                let whole = passes(form, &pieces);
                assert_eq!(whole.as_deref(), Ok(MESSAGES), "{form:?} {first} {second}");
            }
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(passes(form, &bytes).as_deref(), Ok(MESSAGES), "{form:?}");
    }
}

#[test]
fn long_bodies_are_decoded_whole() {
    let mut long = b"\0\0\x01\x86\xa0".to_vec();
    long.extend((0..100_000).map(|at: u32| at.to_le_bytes()[0]));
    let body = text(Form::Text, &long);
    for size in [1021, 4096, 65_536, body.len()] {
        let pieces: Vec<&[u8]> = body.chunks(size).collect();
        assert!(
            passes(Form::Text, &pieces).as_deref() == Ok(&*long),
            "{size}"
        );
    }
}

#[test]
fn what_is_not_base64_is_refused() {
    for body in [
        "AAAAAAA",
        "AAAAAAA!",
        "AAAAAA=A",
        "=AAA",
        "A===",
        "AAAA=AAA",
        "AAAA\r\nAAAA",
        "AAAAAAB=",
        "____",
    ] {
        let got = passes(Form::Text, &[body.as_bytes()]);
        assert_eq!(got, Err(Detail::Base64), "{body}");
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(passes(Form::Text, &bytes), Err(Detail::Base64), "{body}");
    }
}

#[test]
fn what_is_not_messages_is_refused() {
    for body in [
        &b"\x80\0\0\0\0"[..],
        b"\x02\0\0\0\0",
        b"\0",
        b"\0\0\0\0",
        b"\0\0\0\0\x02a",
        b"\0\0\0\0\x01a\x80",
        b"\0\xff\xff\xff\xffa",
    ] {
        for form in [Form::Binary, Form::Text] {
            let sent = text(form, body);
            let got = passes(form, &[&sent]);
            assert_eq!(got, Err(Detail::GrpcMessage), "{body:?}");
        }
    }
    assert_eq!(passes(Form::Binary, &[b""]), Ok(Vec::new()));
}

#[test]
fn trailers_are_the_last_frame() {
    let lines = b"grpc-status: 0\r\n";
    let mut out = Vec::new();
    Call::new(Form::Binary, Form::Binary).end(lines, &mut out);
    assert_eq!(out, [b"\x80\0\0\0\x10", &lines[..]].concat());
    let mut coded = Vec::new();
    Call::new(Form::Binary, Form::Text).end(lines, &mut coded);
    assert_eq!(coded, text(Form::Text, &out));
    out.clear();
    Call::new(Form::Binary, Form::Binary).end(b"", &mut out);
    assert!(out.is_empty());
}
