//! Load and compile: what takes time and touches nothing that runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{self, Diagnostics, Loaded};
use crate::snapshot::{self, Live, Purpose, Snapshot};

/// Why the configuration is loaded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// The admin interface.
    Api,
    /// A file has changed, or may have.
    File,
}

impl Trigger {
    /// What is done with a text that was tried before, and had `digest`.
    pub fn effort(self, digest: u64) -> Effort {
        match self {
            // Secrets in the environment or in files of their own may be others.
            Self::Signal | Self::Api => Effort::Always,
            Self::File => Effort::UnlessSame(digest),
        }
    }

    /// One trigger that stands for both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::Signal | Self::Api => self,
            Self::File => other,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "SIGHUP",
            Self::Api => "api",
            Self::File => "file",
        })
    }
}

/// Whether a text that was tried before is tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effort {
    /// It is.
    Always,
    /// Only if its digest is another.
    UnlessSame(u64),
}

/// A configuration that was loaded and compiled. Nothing has been done for it yet.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What would run.
    pub snapshot: Arc<Snapshot>,
    /// What is suspicious in it.
    pub warnings: Diagnostics,
    /// Files and directories whose change may change it.
    pub watch: Vec<PathBuf>,
}

/// What came of an attempt to follow a configuration that runs.
#[derive(Debug)]
pub enum Attempt {
    /// A configuration that is right.
    Right(Plan),
    /// What is wrong.
    Wrong(Diagnostics),
    /// The text is the one that was tried before.
    Same,
}

/// Loads and compiles the first configuration. The digest changes with every byte of its files.
pub fn plan(path: &Path, live: &Live) -> Result<(Plan, u64), Diagnostics> {
    let loaded = config::load(path)?;
    let digest = loaded.files.digest();
    Ok((compile(loaded, live, Purpose::Start)?, digest))
}

/// Loads and compiles one to follow `running`; the digest is that of what was read.
pub fn attempt(path: &Path, live: &Live, running: &Snapshot, effort: Effort) -> (Attempt, u64) {
    let loaded = config::load(path);
    let files = match &loaded {
        Ok(loaded) => &loaded.files,
        Err(diagnostics) => diagnostics.files(),
    };
    let digest = files.digest();
    if effort == Effort::UnlessSame(digest) {
        return (Attempt::Same, digest);
    }
    let purpose = Purpose::Follow(&running.process);
    let attempt = match loaded.and_then(|loaded| compile(loaded, live, purpose)) {
        Ok(plan) => Attempt::Right(plan),
        Err(diagnostics) => Attempt::Wrong(diagnostics),
    };
    (attempt, digest)
}

fn compile(loaded: Loaded, live: &Live, purpose: Purpose<'_>) -> Result<Plan, Diagnostics> {
    let mut diagnostics = loaded.diagnostics;
    match snapshot::compile(&loaded.raw, &loaded.files, live, purpose, &mut diagnostics) {
        Some(snapshot) => Ok(Plan {
            snapshot: Arc::new(snapshot),
            watch: loaded.watch,
            warnings: diagnostics,
        }),
        None => Err(diagnostics),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[clusters.app]\nendpoints = ['127.0.0.1:9001']\n";

    #[test]
    fn a_file_that_is_the_same_is_tried_again_only_when_asked_for() {
        let path = std::env::temp_dir().join(format!("tg-load-{}.toml", std::process::id()));
        std::fs::write(&path, TEXT).unwrap();
        let live = Live::default();
        let (first, digest) = plan(&path, &live).unwrap();
        let running = &first.snapshot;
        let again =
            |trigger: Trigger, digest| attempt(&path, &live, running, trigger.effort(digest));
        assert!(matches!(again(Trigger::File, digest), (Attempt::Same, _)));
        let (right, same) = again(Trigger::Signal, digest);
        assert!(matches!(right, Attempt::Right(_)) && same == digest);

        std::fs::write(&path, "[clusters.app]\nendpoints = []\n").unwrap();
        let (wrong, other) = again(Trigger::File, digest);
        assert!(matches!(wrong, Attempt::Wrong(_)) && other != digest);
        assert!(
            matches!(again(Trigger::File, other), (Attempt::Same, _)),
            "said once"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            again(Trigger::File, other),
            (Attempt::Wrong(_), _)
        ));
    }

    #[test]
    fn of_two_triggers_the_one_that_insists_counts() {
        assert_eq!(Trigger::File.and(Trigger::Api), Trigger::Api);
        assert_eq!(Trigger::Signal.and(Trigger::File), Trigger::Signal);
        assert_eq!(Trigger::File.and(Trigger::File), Trigger::File);
    }
}
