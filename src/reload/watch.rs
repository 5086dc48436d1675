//! Notices that a file of the configuration changed.
//!
//! Directories are watched, not files: editors and `kubectl` put a new file (or a symbolic link) in the place of
//! the old one, and a watch on the old one would go blind.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Silence after a change before it is acted on: a file is often written in several steps.
const SETTLE: Duration = Duration::from_millis(300);
/// Longest wait for that silence.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names whose writing matters. What is created, renamed or removed matters whatever its name: a symbolic link on
/// the way to a file may be exchanged.
type Names = Arc<Mutex<BTreeSet<OsString>>>;

/// A watch over the configuration's files.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    names: Names,
}

impl Watch {
    /// A watch over nothing. Where the system has no watches left it stays one, and says so.
    pub fn new() -> Self {
        let (sender, events) = mpsc::channel(1);
        let names = Names::default();
        let wanted = Arc::clone(&names);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A watch that lost events must be taken for a change.
            if event.is_ok_and(|event| !matters(&event, &wanted)) {
                return;
            }
            // One pending event is as good as many.
            let _ = sender.try_send(());
        });
        let watcher = watcher
            .map_err(|error| tracing::warn!(%error, "files are not watched; SIGHUP reloads"))
            .ok();
        Self {
            events,
            watcher,
            watched: BTreeSet::new(),
            names,
        }
    }

    /// Watches what these paths depend on, and nothing else.
    pub fn follow(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let names = paths
            .iter()
            .filter_map(|path| path.file_name().map(ToOwned::to_owned));
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names.collect();
        let wanted: BTreeSet<PathBuf> = paths.iter().flat_map(|path| directories(path)).collect();
        for gone in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        for new in wanted.difference(&self.watched) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, directory = %new.display(), "cannot watch; SIGHUP reloads");
            }
        }
        self.watched = wanted;
    }

    /// Waits until something changed and then nothing for a moment. Cancel safe, but for the moment.
    pub async fn changed(&mut self) {
        if self.watcher.is_none() || self.events.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        let settled = async {
            while tokio::time::timeout(SETTLE, self.events.recv())
                .await
                .is_ok_and(|event| event.is_some())
            {}
        };
        let _ = tokio::time::timeout(PATIENCE, settled).await;
    }
}

/// Whether an event may be a change of the configuration. A log that is written in the same directory is not.
fn matters(event: &notify::Event, names: &Names) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            let names = names.lock().unwrap_or_else(PoisonError::into_inner);
            event
                .paths
                .iter()
                .any(|path| path.file_name().is_some_and(|name| names.contains(name)))
        }
        _ => true,
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

/// The directory of a path and, where the path is a symbolic link, that of what it points to.
fn directories(path: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| -> Option<PathBuf> {
        if path.is_dir() {
            return Some(path.to_owned());
        }
        let parent = path.parent()?;
        Some(if parent.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            parent.to_owned()
        })
    };
    let real = path.canonicalize().ok();
    [parent(path), real.as_deref().and_then(parent)]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_replaced_by_a_rename_is_noticed() {
        let dir = std::env::temp_dir().join(format!("tidegate-watch-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("tidegate.toml");
        std::fs::write(&file, "a").unwrap();
        let mut watch = Watch::new();
        watch.follow(std::slice::from_ref(&file));
        std::fs::write(dir.join("new"), "b").unwrap();
        std::fs::rename(dir.join("new"), &file).unwrap();
        watch.changed().await;
        std::fs::write(&file, "c").unwrap();
        watch.changed().await;
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
