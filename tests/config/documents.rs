//! Every configuration that a reader may copy is one that starts.

use std::path::Path;

use super::{certs, check, files, root};

/// Fence of a block that is a part of a configuration only.
const FRAGMENT: &str = "```toml,fragment";

fn accepted(path: &Path) -> Result<(), String> {
    let directory = path.parent().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let output = if text.contains("\"certs/") {
        let folder = certs::folder(directory, &text);
        let output = check(&folder, &["-c", name]);
        std::fs::remove_dir_all(folder).unwrap();
        output
    } else {
        check(directory, &["-c", name])
    };
    if output.status.success() {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{}:\n{shown}", path.display()))
}

#[test]
fn every_sample_is_accepted() {
    let mut samples = files(&root("config"), ".toml");
    assert!(samples.len() >= 2);
    samples.extend(files(&root("examples"), ".toml"));
    samples.extend(files(&root("deploy"), ".toml"));
    let faults: Vec<String> = samples
        .iter()
        .filter_map(|path| accepted(path).err())
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_block_of_the_documents_is_accepted() {
    let mut pages = files(&root("docs"), ".md");
    pages.extend(files(&root("docs/filters"), ".md"));
    pages.push(root("README.md"));
    let scratch = std::env::temp_dir().join(format!("tidegate-blocks-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    // What blocks name: lists, users, keys.
    for ending in [".txt", ".htpasswd", ".json", ".html"] {
        for file in files(&root("config"), ending) {
            std::fs::copy(&file, scratch.join(file.file_name().unwrap())).unwrap();
        }
    }
    let mut faults = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for (number, block) in blocks(&text).into_iter().enumerate() {
            let stem = page.file_stem().unwrap().to_string_lossy().into_owned();
            let path = scratch.join(format!("{stem}-{number}.toml"));
            std::fs::write(&path, served(block)).unwrap();
            faults.extend(accepted(&path).err());
        }
    }
    std::fs::remove_dir_all(&scratch).unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A block that shows a part is no configuration without somebody to serve it to.
fn served(block: String) -> String {
    if block.contains("[[listeners]]") {
        return block;
    }
    block + "\n[[listeners]]\nname = \"block\"\nbind = [\"127.0.0.1:8080\"]\nprotocol = \"http\"\n"
}

/// The tour has every key of the language. What it lacks where it stands are the files that it names, and nothing else.
#[test]
fn the_tour_loads_but_for_its_files() {
    let directory = root("tests/config/shape");
    let output = check(&directory, &["-c", "tour.toml"]);
    let shown = String::from_utf8(output.stderr).unwrap();
    let errors = shown.lines().filter(|line| line.starts_with("error"));
    for error in errors.clone() {
        assert!(
            error.contains("cannot read") || error.contains("cannot be read"),
            "{error}"
        );
    }
    assert!(errors.count() > 4, "{shown}");

    let text = std::fs::read_to_string(directory.join("tour.toml")).unwrap();
    let folder = certs::folder(&directory, &text);
    for (name, content) in [
        ("secrets/tidegate.key", "0123456789abcdef0123456789abcdef"),
        (
            "config/users.htpasswd",
            "ann:$2y$04$KBCwKxOzLha2MUDgW0PjXe6FXpShTD1Nu18BhP4eHwohTd5QokYOm\n",
        ),
    ] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let output = check(&folder, &["-c", "tour.toml"]);
    std::fs::remove_dir_all(folder).unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
}

/// The text of every block that is a whole configuration.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match &mut open {
            Some(block) if line.trim_start().starts_with("```") => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line.trim_start() == FRAGMENT => {}
            None if line.trim_start().starts_with("```toml") => open = Some(String::new()),
            None => {}
        }
    }
    blocks
}
