//! Load and compile: what takes time and touches nothing that runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{self, Diagnostics, Files, Loaded, Seen};
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
    /// What is done with files that were tried before.
    pub fn effort(self, tried: &Tried) -> Effort {
        match self {
            // Secrets in the environment may be others.
            Self::Signal | Self::Api => Effort::Always,
            Self::File => Effort::UnlessSame(tried.clone()),
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

/// Whether files that were tried before are tried again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effort {
    /// They are.
    Always,
    /// Only if one of them is another by now.
    UnlessSame(Tried),
}

/// What was tried last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tried {
    /// Changes with every byte of the configuration's own files.
    digest: u64,
    /// The files beside them.
    beside: Seen,
}

impl Tried {
    fn right(files: &Files) -> Self {
        Self {
            digest: files.digest(),
            beside: files.beside().seen(),
        }
    }

    fn wrong(files: &Files) -> Self {
        Self {
            digest: files.digest(),
            beside: files.beside().seen_all(),
        }
    }
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
    /// The text is the one that was tried before. What is to be watched may be more: an include pattern can match a
    /// directory in which no file is yet.
    Same(Vec<PathBuf>),
}

/// Loads and compiles the first configuration.
pub fn plan(path: &Path, live: &Live) -> Result<(Plan, Tried), Diagnostics> {
    let loaded = config::load(path)?;
    let files = loaded.files.clone();
    let plan = compile(loaded, live, Purpose::Start)?;
    Ok((plan, Tried::right(&files)))
}

/// Loads and compiles one to follow `running`.
pub fn attempt(path: &Path, live: &Live, running: &Snapshot, effort: Effort) -> (Attempt, Tried) {
    let loaded = config::load(path);
    let files = match &loaded {
        Ok(loaded) => loaded.files.clone(),
        Err(diagnostics) => diagnostics.files().clone(),
    };
    if let Effort::UnlessSame(tried) = effort
        && tried.digest == files.digest()
        && tried.beside.is_still_so()
    {
        let watch = loaded.map_or_else(|wrong| wrong.files().watch(), |right| right.watch);
        return (Attempt::Same(watch), tried);
    }
    let purpose = Purpose::Follow(&running.process);
    match loaded.and_then(|loaded| compile(loaded, live, purpose)) {
        Ok(plan) => (Attempt::Right(plan), Tried::right(&files)),
        Err(diagnostics) => (Attempt::Wrong(diagnostics), Tried::wrong(&files)),
    }
}

fn compile(loaded: Loaded, live: &Live, purpose: Purpose<'_>) -> Result<Plan, Diagnostics> {
    let mut diagnostics = loaded.diagnostics;
    match snapshot::compile(&loaded.raw, &loaded.files, live, purpose, &mut diagnostics) {
        Some(snapshot) => {
            config::serves(&loaded.raw, &mut diagnostics);
            if diagnostics.has_errors() {
                return Err(diagnostics);
            }
            Ok(Plan {
                snapshot: Arc::new(snapshot),
                watch: [loaded.watch, loaded.files.beside().paths()].concat(),
                warnings: diagnostics,
            })
        }
        None => Err(diagnostics),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[clusters.app]\nendpoints = ['127.0.0.1:9001']\n\
        [[listeners]]\nname = 'web'\nbind = ['127.0.0.1:0']\nprotocol = 'http'\n";

    #[test]
    fn a_file_that_is_the_same_is_tried_again_only_when_asked_for() {
        let path = std::env::temp_dir().join(format!("tg-load-{}.toml", std::process::id()));
        std::fs::write(&path, TEXT).unwrap();
        let live = Live::default();
        let (first, tried) = plan(&path, &live).unwrap();
        let running = &first.snapshot;
        let again =
            |trigger: Trigger, tried: &Tried| attempt(&path, &live, running, trigger.effort(tried));
        assert!(matches!(
            again(Trigger::File, &tried),
            (Attempt::Same(_), _)
        ));
        let (right, same) = again(Trigger::Signal, &tried);
        assert!(matches!(right, Attempt::Right(_)) && same == tried);

        std::fs::write(&path, "[clusters.app]\nendpoints = []\n").unwrap();
        let (wrong, other) = again(Trigger::File, &tried);
        assert!(matches!(wrong, Attempt::Wrong(_)) && other != tried);
        assert!(
            matches!(again(Trigger::File, &other), (Attempt::Same(_), _)),
            "said once"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            again(Trigger::File, &other),
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
