//! Tables of RFC 7541, appendix C, and what must hold for any lines.

use proptest::prelude::*;

use super::*;

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Lines, Malformed> {
    let mut lines = Lines::new();
    decoder.decode(block, |line| {
        assert_eq!(line.kind, Kind::of(line.name));
        assert_eq!(line.fit, Fit::of(line.value));
        lines.push((line.name.to_vec(), line.value.to_vec()));
    })?;
    Ok(lines)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn table(decoder: &Decoder) -> Vec<String> {
    (0..)
        .map_while(|place| decoder.table().line(place))
        .map(|line| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            format!("{}: {}", text(line.name), text(line.value))
        })
        .collect()
}

/// One example: blocks in hexadecimal, their lines, the table after each and its size.
struct Example {
    most: usize,
    blocks: Vec<(&'static str, Vec<&'static str>, Vec<&'static str>, usize)>,
}

const DATE_21: &str = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22: &str = "date: Mon, 21 Oct 2013 20:13:22 GMT";
const LOCATION: &str = "location: https://www.example.com";
const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

fn requests(plain: bool) -> Example {
    let common = [":method: GET", ":scheme: http", ":path: /"];
    let authority = ":authority: www.example.com";
    let [first, second, third] = if plain {
        [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ]
    } else {
        [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ]
    };
    Example {
        most: 4096,
        blocks: vec![
            (
                first,
                [&common[..], &[authority]].concat(),
                vec![authority],
                57,
            ),
            (
                second,
                [&common[..], &[authority, "cache-control: no-cache"]].concat(),
                vec!["cache-control: no-cache", authority],
                110,
            ),
            (
                third,
                vec![
                    ":method: GET",
                    ":scheme: https",
                    ":path: /index.html",
                    authority,
                    "custom-key: custom-value",
                ],
                vec![
                    "custom-key: custom-value",
                    "cache-control: no-cache",
                    authority,
                ],
                164,
            ),
        ],
    }
}

fn responses(plain: bool) -> Example {
    let [first, second, third] = if plain {
        [
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        ]
    } else {
        [
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        ]
    };
    let private = "cache-control: private";
    let gzip = "content-encoding: gzip";
    Example {
        most: 256,
        blocks: vec![
            (
                first,
                vec![":status: 302", private, DATE_21, LOCATION],
                vec![LOCATION, DATE_21, private, ":status: 302"],
                222,
            ),
            (
                second,
                vec![":status: 307", private, DATE_21, LOCATION],
                vec![":status: 307", LOCATION, DATE_21, private],
                222,
            ),
            (
                third,
                vec![":status: 200", private, DATE_22, LOCATION, gzip, COOKIE],
                vec![COOKIE, gzip, DATE_22],
                215,
            ),
        ],
    }
}

/// C.3, C.4, C.5 and C.6.
#[test]
fn the_examples_of_the_standard_decode() {
    for example in [
        requests(true),
        requests(false),
        responses(true),
        responses(false),
    ] {
        let mut decoder = Decoder::new(example.most);
        for (block, lines, held, size) in example.blocks {
            let decoded: Vec<String> = decode(&mut decoder, &bytes(block))
                .unwrap()
                .iter()
                .map(|(name, value)| {
                    let text = |bytes| String::from_utf8_lossy(bytes);
                    format!("{}: {}", text(name), text(value))
                })
                .collect();
            assert_eq!(decoded, lines, "{block}");
            assert_eq!(table(&decoder), held, "{block}");
            assert_eq!(decoder.table().size(), size, "{block}");
        }
    }
}

/// C.2: each way to write a line.
#[test]
fn every_representation_decodes() {
    let cases = [
        (
            "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
            "custom-key",
            "custom-header",
            1,
        ),
        ("040c2f73616d706c652f70617468", ":path", "/sample/path", 0),
        (
            "100870617373776f726406736563726574",
            "password",
            "secret",
            0,
        ),
        ("82", ":method", "GET", 0),
    ];
    for (block, name, value, held) in cases {
        let mut decoder = Decoder::default();
        let lines = decode(&mut decoder, &bytes(block)).unwrap();
        assert_eq!(
            lines,
            [(name.as_bytes().to_vec(), value.as_bytes().to_vec())]
        );
        assert_eq!(table(&decoder).len(), held);
    }
}

#[test]
fn what_both_ends_cannot_agree_on_ends_the_connection() {
    let refused = [
        ("80", "index 0"),
        ("be", "an index beyond both tables"),
        ("7e", "a name beyond both tables"),
        ("ff8080808000", "an index without end"),
        ("0005616263", "a string that is cut off"),
        ("00", "a line without a name"),
        ("000161", "a line without a value"),
        ("0001618100", "padding of zeros"),
        ("000161821fff", "padding of more than seven bits"),
        ("00016184ffffffff", "the end of a string, written out"),
        ("8220", "a change of size behind a line"),
        ("3fe21f", "a size over what we allow"),
    ];
    for (block, what) in refused {
        let mut decoder = Decoder::default();
        assert_eq!(
            decode(&mut decoder, &bytes(block)),
            Err(Malformed),
            "{what}"
        );
    }
    for taken in ["", "3fe11f", "20", "203fe11f82", "000000"] {
        assert!(
            decode(&mut Decoder::default(), &bytes(taken)).is_ok(),
            "{taken}"
        );
    }
}

#[test]
fn a_smaller_table_forgets_and_a_large_line_empties_it() {
    let mut decoder = Decoder::default();
    decode(&mut decoder, b"\x40\x01a\x01b\x40\x01c\x01d").unwrap();
    assert_eq!(table(&decoder), ["c: d", "a: b"]);
    decode(&mut decoder, &bytes("3f03")).unwrap();
    assert_eq!(table(&decoder), ["c: d"], "34 bytes: one line fits");
    decode(&mut decoder, b"\x40\x01e\x02ff").unwrap();
    assert!(table(&decoder).is_empty());
    assert!(decode(&mut decoder, &bytes("be")).is_err());
}

#[test]
fn the_encoder_keeps_to_the_size_that_it_is_allowed() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut block = |encoder: &mut Encoder, value: &str| {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.field(b"server", value.as_bytes(), &mut out);
        let lines = decode(&mut decoder, &out).unwrap();
        assert_eq!(lines, [(b"server".to_vec(), value.as_bytes().to_vec())]);
        (out, decoder.table().size())
    };
    block(&mut encoder, "a");
    assert_eq!(block(&mut encoder, "a").0, [0xbe], "remembered");
    encoder.allow(0);
    encoder.allow(100);
    let (out, size) = block(&mut encoder, "a");
    assert_eq!(&out[..3], b"\x20\x3f\x45", "to nothing, then to 100");
    assert_eq!(size, 39);
    encoder.allow(1 << 20);
    let (out, _) = block(&mut encoder, "b");
    assert_eq!(&out[..3], b"\x3f\xe1\x1f", "never more than the usual size");
    assert_eq!(encoder.table().size(), 78);
    encoder.allow(4096);
    assert_eq!(block(&mut encoder, "b").0, [0xbe], "nothing to say");
}

/// More lines than there are places to look in first, then so many that the oldest go: what both ends remember is one
/// byte or two, and what is gone is written anew.
#[test]
fn lines_that_share_a_place_are_all_found() {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut block = |lines: std::ops::Range<usize>| {
        let lines: Lines = lines
            .map(|at| (b"x-line".to_vec(), format!("value {at:04}").into_bytes()))
            .collect();
        let mut out = Vec::new();
        for (name, value) in &lines {
            encoder.field(name, value, &mut out);
        }
        assert_eq!(decode(&mut decoder, &out).unwrap(), lines);
        out.len()
    };
    let most = 4096 / (6 + 10 + 32);
    assert!(block(0..most) > 5 * most);
    for _ in 0..3 {
        assert!(block(0..most) <= 2 * most);
    }
    assert!(block(most..2 * most) > 5 * most);
    assert!(block(0..most) > 5 * most);
}

#[test]
fn secrets_are_never_remembered() {
    let mut encoder = Encoder::default();
    let mut out = Vec::new();
    encoder.field(b"set-cookie", b"a=b", &mut out);
    encoder.field(b"content-length", b"5", &mut out);
    assert_eq!(out, b"\x1f\x28\x03a=b\x0f\x0d\x015");
    assert_eq!(encoder.table().size(), 0);
}

fn lines() -> impl Strategy<Value = Lines> {
    let name = prop_oneof![
        Just(b":status".to_vec()),
        Just(b"date".to_vec()),
        Just(b"set-cookie".to_vec()),
        Just(b"content-length".to_vec()),
        "[a-z-]{0,12}".prop_map(String::into_bytes),
    ];
    let value = prop_oneof![
        "[ -~]{0,20}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..300),
        "[ab]{0,2}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec((name, value), 0..20)
}

proptest! {
    /// Whatever is written is read, block after block, and both ends remember the same.
    #[test]
    fn both_ends_stay_agreed(
        blocks in proptest::collection::vec((lines(), proptest::option::of(0usize..5000)), 0..20)
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for (lines, size) in blocks {
            if let Some(size) = size {
                encoder.allow(size);
            }
            let mut out = Vec::new();
            encoder.begin(&mut out);
            for (name, value) in &lines {
                encoder.field(name, value, &mut out);
            }
            prop_assert_eq!(decode(&mut decoder, &out).unwrap(), lines);
            prop_assert_eq!(encoder.table().size(), decoder.table().size());
        }
    }

    #[test]
    fn no_block_panics(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            if decode(&mut decoder, &block).is_err() {
                break;
            }
            prop_assert!(decoder.table().size() <= 4096);
        }
    }
}
