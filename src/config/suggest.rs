//! Did you mean …?

/// The allowed word nearest to what was found, when it is near enough to be a slip of the finger.
pub fn suggest<'a>(found: &str, allowed: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_ascii_lowercase();
    let bar = (found.chars().count() / 3).clamp(1, 3);
    allowed
        .map(|word| {
            let distance = strsim::damerau_levenshtein(&found, &word.to_ascii_lowercase());
            (distance, word)
        })
        .filter(|(distance, _)| *distance <= bar)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let words = ["listeners", "routes", "clusters"];
        assert_eq!(suggest("listner", words.into_iter()), Some("listeners"));
        assert_eq!(suggest("ruotes", words.into_iter()), Some("routes"));
        assert_eq!(suggest("upstreams", words.into_iter()), None);
        assert_eq!(suggest("", words.into_iter()), None);
    }
}
