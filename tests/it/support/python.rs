//! Python with the packages that `scripts/tools.sh` puts beside it.

use std::path::PathBuf;

pub fn python() -> PathBuf {
    let at = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let tools = at("TIDEGATE_TOOLS")
        .or_else(|| Some(at("XDG_CACHE_HOME")?.join("tidegate")))
        .or_else(|| Some(at("HOME")?.join(".cache/tidegate")));
    let python = tools.unwrap_or_default().join("python/bin/python3");
    let shown = python.display();
    assert!(python.exists(), "{shown}: `make tools` installs it");
    python
}
