//! What the system tells of files, and which of it matters.
//!
//! What is watched are directories: a file that is replaced by a rename, or a symbolic link that is pointed
//! elsewhere (as Kubernetes does with mounted configurations), is another file, and a watch on the old one would
//! never speak again. The files are watched beside them: what is written to one that is mounted here alone, or has
//! another name elsewhere, is told to the directory where it was written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Symbolic links that are followed for one path.
const MAX_LINKS: usize = 32;

/// What decides whether an event matters.
#[derive(Debug, Default)]
struct Interest {
    /// Files and links.
    names: BTreeSet<PathBuf>,
    /// Directories in which every name matters.
    folders: BTreeSet<PathBuf>,
    /// What is to be watched.
    places: BTreeSet<PathBuf>,
}

impl Interest {
    fn new(paths: &[PathBuf]) -> Self {
        let mut interest = Self::default();
        for path in paths {
            let steps = steps(path);
            if let Some(end) = steps.last() {
                if end.is_dir() {
                    interest.folders.insert(end.clone());
                }
                interest.places.insert(end.clone());
            }
            let parents = steps.iter().filter_map(|path| path.parent());
            interest.places.extend(parents.map(Path::to_path_buf));
            interest.names.extend(steps);
        }
        interest
    }

    fn covers(&self, path: &Path) -> bool {
        self.names.contains(path)
            || self.places.contains(path)
            || path
                .parent()
                .is_some_and(|parent| self.folders.contains(parent))
    }

    fn matters(&self, event: &Event) -> bool {
        let reads = matches!(event.kind, EventKind::Access(_));
        event.need_rescan() || !reads && event.paths.iter().any(|path| self.covers(path))
    }
}

/// Every path whose replacement gives `path` another meaning: the links on the way, and where it ends.
fn steps(path: &Path) -> Vec<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut todo: VecDeque<OsString> = parts(&path).collect();
    let mut links = Vec::new();
    let mut at = PathBuf::new();
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        match std::fs::read_link(&next) {
            Ok(target) if links.len() < MAX_LINKS => {
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    todo.push_front(part);
                }
                links.push(next);
            }
            _ => at = next,
        }
    }
    links.push(at);
    links
}

/// Names of a path; joining the root starts anew.
fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_owned())
}

/// Whether there is more to see than before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum News {
    Same,
    More,
}

/// Device and inode.
type Identity = (u64, u64);

/// A place as it was when it was looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Held {
    /// `None`: nothing is there.
    identity: Option<Identity>,
    watched: bool,
}

fn identity(place: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(place).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The system's watcher, pointed at directories and files.
#[derive(Debug)]
pub(super) struct Eyes {
    watcher: RecommendedWatcher,
    interest: Arc<Mutex<Interest>>,
    places: BTreeMap<PathBuf, Held>,
}

impl Eyes {
    /// A watcher that calls `changed` for what matters, on a thread of the system's.
    pub(super) fn open(changed: impl Fn() + Send + 'static) -> notify::Result<Self> {
        let interest: Arc<Mutex<Interest>> = Arc::default();
        let shared = Arc::clone(&interest);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let interest = shared.lock().unwrap_or_else(PoisonError::into_inner);
            // A watch that lost events must be taken for a change.
            if event.map_or(true, |event| interest.matters(&event)) {
                changed();
            }
        })?;
        Ok(Self {
            watcher,
            interest,
            places: BTreeMap::new(),
        })
    }

    /// Whether anything that is there could not be watched.
    pub(super) fn is_blind(&self) -> bool {
        let mut places = self.places.values();
        places.any(|held| held.identity.is_some() && !held.watched)
    }

    /// Watches what these paths depend on now, and nothing else.
    pub(super) fn look_at(&mut self, paths: &[PathBuf]) -> News {
        let interest = Interest::new(paths);
        let places = interest.places.clone();
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;
        let before = std::mem::take(&mut self.places);
        for gone in before.keys().filter(|place| !places.contains(*place)) {
            let _ = self.watcher.unwatch(gone);
        }
        let mut news = News::Same;
        for place in places {
            let known = before.get(&place).copied();
            // Also those that are watched already: the watcher forgets one that was moved away, though it came back.
            let held = self.hold(&place, known);
            if known != Some(held) {
                news = News::More;
            }
            self.places.insert(place, held);
        }
        news
    }

    /// Watches anew where something else is than before, or could not be watched. Cheap where all is as it was.
    pub(super) fn sweep(&mut self) -> News {
        let mut news = News::Same;
        for (place, known) in std::mem::take(&mut self.places) {
            let now = identity(&place);
            let is_settled = known.watched || now.is_none();
            let held = if is_settled && known.identity == now {
                known
            } else {
                self.hold(&place, Some(known))
            };
            if known != held {
                news = News::More;
            }
            self.places.insert(place, held);
        }
        news
    }

    /// Watches what is there now.
    fn hold(&mut self, place: &Path, known: Option<Held>) -> Held {
        let identity = identity(place);
        if known.is_some_and(|known| known.watched && known.identity != identity) {
            // The watch on what was there before speaks of this path too, and takes the new one along when it ends.
            let _ = self.watcher.unwatch(place);
        }
        let watched = self.watcher.watch(place, RecursiveMode::NonRecursive);
        if let Err(error) = &watched
            && known.is_none_or(|known| known.watched)
            // What is missing is found when it comes.
            && !matches!(error.kind, notify::ErrorKind::PathNotFound)
        {
            tracing::warn!(%error, place = %place.display(), "cannot watch for changes");
        }
        Held {
            identity,
            watched: watched.is_ok(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    pub(in crate::reload) struct Dir(pub(in crate::reload) PathBuf);

    impl Dir {
        pub(in crate::reload) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tg-files-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(fs::canonicalize(path).unwrap())
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn event(path: PathBuf) -> Event {
        Event::new(EventKind::Any).add_path(path)
    }

    #[test]
    fn links_are_followed_step_by_step() {
        let dir = Dir::new("links");
        let at = |path: &str| dir.0.join(path);
        // As Kubernetes mounts a ConfigMap.
        fs::create_dir(at("..2026_01")).unwrap();
        fs::write(at("..2026_01/a.toml"), "").unwrap();
        symlink("..2026_01", at("..data")).unwrap();
        symlink("..data/a.toml", at("a.toml")).unwrap();
        let path = at("a.toml");
        assert_eq!(
            steps(&path),
            [path.clone(), at("..data"), at("..2026_01/a.toml")]
        );

        let interest = Interest::new(std::slice::from_ref(&path));
        assert_eq!(
            interest.places,
            [dir.0.clone(), at("..2026_01"), at("..2026_01/a.toml")].into()
        );
        assert!(interest.matters(&event(at("..data"))), "pointed elsewhere");
        assert!(interest.matters(&event(path.clone())));
        assert!(!interest.matters(&event(at("access.log"))));
        let read = Event::new(EventKind::Access(notify::event::AccessKind::Any)).add_path(path);
        assert!(!interest.matters(&read));
    }

    #[test]
    fn every_name_in_a_folder_of_includes_matters() {
        let dir = Dir::new("folder");
        let interest = Interest::new(&[dir.0.clone(), dir.0.join("missing/x.toml")]);
        assert!(interest.matters(&event(dir.0.join("new.toml"))));
        assert!(!interest.matters(&event(dir.0.join("sub/new.toml"))));
        assert!(interest.matters(&event(dir.0.join("missing/x.toml"))));
    }

    #[test]
    fn a_circle_of_links_ends() {
        let dir = Dir::new("circle");
        symlink("b", dir.0.join("a")).unwrap();
        symlink("a", dir.0.join("b")).unwrap();
        assert_eq!(steps(&dir.0.join("a")).len(), MAX_LINKS + 1);
    }
}
