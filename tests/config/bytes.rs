//! Any bytes give an answer, never a panic.

use std::path::Path;

use proptest::prelude::*;
use tidegate::config::{Color, load, parse};

use super::root;

/// Reads, and renders whatever was found: both must survive anything.
fn read(text: &str) {
    let found = match parse(Path::new("any.toml"), text) {
        Ok(loaded) => loaded.diagnostics,
        Err(found) => found,
    };
    let _ = found.render_text(Color::Never);
    let _ = found.to_json();
    assert_eq!(found.lines().count(), found.iter().count());
}

fn samples() -> Vec<String> {
    ["config/full.toml", "tests/config/shape/tour.toml"]
        .map(|path| std::fs::read_to_string(root(path)).unwrap())
        .to_vec()
}

#[test]
fn a_file_cut_anywhere_is_answered() {
    for sample in samples() {
        let cuts = sample.char_indices().map(|(at, _)| at);
        for cut in cuts.step_by(7) {
            read(&sample[..cut]);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn any_text_of_the_letters_of_toml_is_answered(text in "[\\[\\]{}=.,\"'#\\n a-z0-9_-]{0,120}") {
        read(&text);
    }

    #[test]
    fn any_bytes_in_a_file_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let path = std::env::temp_dir().join(format!("tidegate-bytes-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        drop(load(&path).map_err(|found| found.render_text(Color::Never)));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_sample_with_a_changed_piece_is_answered(
        which in 0..2_usize,
        at in any::<prop::sample::Index>(),
        length in 0..20_usize,
        piece in "[\\[\\]{}=.,\"'\\n a-zé0-9_-]{0,8}",
    ) {
        let sample = samples().swap_remove(which);
        let start = floor(&sample, at.index(sample.len()));
        let end = floor(&sample, (start + length).min(sample.len())).max(start);
        read(&format!("{}{piece}{}", &sample[..start], &sample[end..]));
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
