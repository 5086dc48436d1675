//! Accept (RFC 9110, 12.5.1): how much a client wants a media type.

/// All of it.
const MOST: u16 = 1000;

/// From 0, not at all, to 1000. Of several ranges that hold the type the most exact one counts; a client that says nothing takes
/// anything.
pub fn quality<'v>(accept: impl Iterator<Item = &'v [u8]>, kind: &str) -> u16 {
    let mut said = false;
    let mut best = (0, 0);
    for value in accept {
        for range in value.split(|&byte| byte == b',') {
            let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            if name.is_empty() {
                continue;
            }
            said = true;
            let exact = exactness(name, kind);
            if exact > best.0 {
                best = (exact, parts.find_map(weight).unwrap_or(MOST));
            }
        }
    }
    if said { best.1 } else { MOST }
}

/// How exactly a range names a type; 0: it does not.
fn exactness(range: &[u8], kind: &str) -> u8 {
    let main = kind.split('/').next().unwrap_or_default();
    if range.eq_ignore_ascii_case(kind.as_bytes()) {
        3
    } else if range == b"*/*" {
        1
    } else if range
        .strip_suffix(b"/*")
        .is_some_and(|range| range.eq_ignore_ascii_case(main.as_bytes()))
    {
        2
    } else {
        0
    }
}

/// `q=0.5` → 500 (RFC 9110, 12.4.2). What is no weight counts as none was given.
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return None;
    };
    match value {
        [b'1', ..] => Some(MOST),
        [b'0'] => Some(0),
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let digits = digits.iter().chain(b"000").take(3);
            Some(digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_range_counts() {
        let browser: &[&str] = &["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"];
        for (accept, html, json, text) in [
            (&[] as &[&str], 1000, 1000, 1000),
            (&[""], 1000, 1000, 1000),
            (browser, 1000, 800, 800),
            (&["application/json"], 0, 1000, 0),
            (&["text/*;q=0.5, TEXT/PLAIN ; q=0.25"], 500, 0, 250),
            (&["*/*", "text/html;q=0"], 0, 1000, 1000),
            (&["text/html;level=1;q=0.125"], 125, 0, 0),
            (&["text/html;q=2, text/plain;q=0.1234, ,;"], 1000, 0, 1000),
        ] {
            let found = ["text/html", "application/json", "text/plain"]
                .map(|kind| quality(accept.iter().map(|value| value.as_bytes()), kind));
            assert_eq!(found, [html, json, text], "{accept:?}");
        }
    }
}
