//! Notices that a file of the configuration changed.
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
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::debounce::Debounce;
use crate::base::clock::{self, Instant};

/// Pause between two looks at whether what is watched is still what the paths name: a directory that is missing, or is
/// mounted over, tells nobody when that is over.
const SWEEP: Duration = Duration::from_secs(2);

/// Symbolic links that are followed for one path.
const MAX_LINKS: usize = 32;

/// A watch over the configuration's files.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<()>,
    eyes: Option<Eyes>,
    debounce: Debounce,
    sweep: Instant,
    /// What the configuration in effect depends on.
    followed: Vec<PathBuf>,
    /// And what is watched beside it.
    paths: Vec<PathBuf>,
}

impl Watch {
    /// A watch over nothing. Where the system has no watches left it stays one, and says so.
    pub fn new() -> Self {
        let (sender, events) = mpsc::channel(1);
        let eyes = Eyes::open(sender)
            .map_err(|error| tracing::warn!(%error, "files are not watched; SIGHUP reloads"))
            .ok();
        Self {
            events,
            eyes,
            debounce: Debounce::default(),
            sweep: clock::now() + SWEEP,
            followed: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// Watches what these paths depend on, and nothing else. What is new is due to be looked at: whatever
    /// changed since it was read was not seen.
    pub fn follow(&mut self, paths: &[PathBuf]) {
        paths.clone_into(&mut self.followed);
        self.look_out(paths.to_vec());
    }

    /// Watches these too, until it is told to follow others: what a refused configuration names may be what is to be mended.
    pub fn also(&mut self, mut paths: Vec<PathBuf>) {
        paths.extend_from_slice(&self.followed);
        self.look_out(paths);
    }

    /// Watches these beside all that is watched.
    pub fn widen(&mut self, paths: &[PathBuf]) {
        let new = paths.iter().filter(|path| !self.paths.contains(path));
        let new: Vec<_> = new.cloned().collect();
        if !new.is_empty() {
            self.look_out([self.paths.as_slice(), &new].concat());
        }
    }

    fn look_out(&mut self, paths: Vec<PathBuf>) {
        self.paths = paths;
        if self.look() == News::More {
            self.debounce.changed(clock::now());
        }
    }

    /// Waits until something changed and then nothing for a moment; not for ever where changes never end.
    /// Cancel safe: a change that was seen is kept.
    pub async fn changed(&mut self) {
        loop {
            tokio::select! {
                Some(()) = self.events.recv() => self.debounce.changed(clock::now()),
                () = until(Some(self.sweep)) => {
                    self.sweep = clock::now() + SWEEP;
                    if self.eyes.as_mut().is_some_and(|eyes| eyes.sweep() == News::More) {
                        self.debounce.changed(clock::now());
                    }
                }
                () = until(self.debounce.due()) => {
                    self.debounce.clear();
                    // A link may lead elsewhere now: watch first, so that no change falls before the reading.
                    self.look();
                    return;
                }
            }
        }
    }

    fn look(&mut self) -> News {
        match &mut self.eyes {
            Some(eyes) => eyes.look_at(&self.paths),
            None => News::Same,
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

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
enum News {
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
struct Eyes {
    watcher: RecommendedWatcher,
    interest: Arc<Mutex<Interest>>,
    places: BTreeMap<PathBuf, Held>,
}

impl Eyes {
    fn open(changed: mpsc::Sender<()>) -> notify::Result<Self> {
        let interest: Arc<Mutex<Interest>> = Arc::default();
        let shared = Arc::clone(&interest);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let interest = shared.lock().unwrap_or_else(PoisonError::into_inner);
            // A watch that lost events must be taken for a change.
            if event.map_or(true, |event| interest.matters(&event)) {
                // Full: one that was not looked at yet says the same.
                let _ = changed.try_send(());
            }
        })?;
        Ok(Self {
            watcher,
            interest,
            places: BTreeMap::new(),
        })
    }

    /// Watches what these paths depend on now, and nothing else.
    fn look_at(&mut self, paths: &[PathBuf]) -> News {
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
    fn sweep(&mut self) -> News {
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
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
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

    #[tokio::test]
    async fn a_replaced_file_and_a_link_that_is_pointed_elsewhere_are_noticed() {
        let dir = Dir::new("watch");
        let at = |path: &str| dir.0.join(path);
        for (folder, text) in [("..1", "a"), ("..2", "b")] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("a.toml"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/a.toml", at("a.toml")).unwrap();
        let mut watch = Watch::new();
        watch.follow(&[at("a.toml")]);
        watch.changed().await;

        symlink("..2", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        watch.changed().await;
        fs::write(at("..2/new"), "c").unwrap();
        fs::rename(at("..2/new"), at("..2/a.toml")).unwrap();
        watch.changed().await;
    }

    /// Waits until nothing is told any more of what was done.
    async fn settle(watch: &mut Watch) {
        while heard(watch, Duration::from_millis(800)).await {}
    }

    async fn heard(watch: &mut Watch, within: Duration) -> bool {
        tokio::time::timeout(within, watch.changed()).await.is_ok()
    }

    const LONG: Duration = Duration::from_secs(20);

    /// As a file that is mounted alone into a container: the directory in which it is written is not the one here.
    #[tokio::test]
    async fn what_is_written_by_another_name_of_the_file_is_noticed() {
        let dir = Dir::new("names");
        let at = |path: &str| dir.0.join(path);
        fs::create_dir(at("here")).unwrap();
        fs::write(at("one"), "1").unwrap();
        fs::write(at("two"), "2").unwrap();
        fs::hard_link(at("one"), at("here/a.toml")).unwrap();
        let mut watch = Watch::new();
        watch.follow(&[at("here/a.toml")]);
        settle(&mut watch).await;
        fs::write(at("one"), "11").unwrap();
        assert!(heard(&mut watch, LONG).await);

        settle(&mut watch).await;
        fs::hard_link(at("two"), at("here/new")).unwrap();
        fs::rename(at("here/new"), at("here/a.toml")).unwrap();
        assert!(heard(&mut watch, LONG).await);
        settle(&mut watch).await;
        fs::write(at("two"), "22").unwrap();
        assert!(heard(&mut watch, LONG).await, "the file in its place");
    }

    #[tokio::test]
    async fn a_directory_in_the_place_of_another_is_watched() {
        let dir = Dir::new("replaced");
        let at = |path: &str| dir.0.join(path);
        let make = |path: &str, text: &str| {
            fs::create_dir(at(path)).unwrap();
            fs::write(at(path).join("a.toml"), text).unwrap();
        };
        make("here", "1");
        make("next", "2");
        let mut watch = Watch::new();
        watch.follow(&[at("here/a.toml")]);
        settle(&mut watch).await;
        fs::rename(at("here"), at("old")).unwrap();
        fs::rename(at("next"), at("here")).unwrap();
        assert!(heard(&mut watch, LONG).await, "replaced");
        settle(&mut watch).await;
        fs::remove_dir_all(at("old")).unwrap();
        fs::write(at("here/a.toml"), "22").unwrap();
        assert!(heard(&mut watch, LONG).await, "written in it");

        settle(&mut watch).await;
        fs::remove_dir_all(at("here")).unwrap();
        assert!(heard(&mut watch, LONG).await, "missing");
        settle(&mut watch).await;
        make("here", "3");
        assert!(heard(&mut watch, LONG).await, "there again");
        settle(&mut watch).await;
        fs::write(at("here/a.toml"), "33").unwrap();
        assert!(heard(&mut watch, LONG).await, "written in it again");
    }

    #[tokio::test]
    async fn what_cannot_be_watched_yet_is_tried_without_a_word() {
        let dir = Dir::new("later");
        let at = |path: &str| dir.0.join(path);
        let mut watch = Watch::new();
        watch.follow(&[at("no/such/a.toml")]);
        settle(&mut watch).await;
        assert!(!heard(&mut watch, SWEEP * 2).await, "nothing is new");
        fs::create_dir_all(at("no/such")).unwrap();
        assert!(heard(&mut watch, LONG).await);
        settle(&mut watch).await;
        fs::write(at("no/such/a.toml"), "").unwrap();
        assert!(heard(&mut watch, LONG).await);
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
