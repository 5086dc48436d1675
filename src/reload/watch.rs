//! Notices that a file of the configuration changed.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tokio::sync::mpsc;

use super::debounce::Debounce;
use super::eyes::{Eyes, News};
use crate::base::clock;

/// Pause between two looks at whether what is watched is still what the paths name: a directory that is missing, or is
/// mounted over, tells nobody when that is over.
const SWEEP: Duration = Duration::from_secs(2);

/// A watch over the configuration's files. Looking takes as long as there are files: it has a thread of its own, so that nobody waits for it.
#[derive(Debug)]
pub struct Watch {
    orders: std::sync::mpsc::Sender<Order>,
    changed: mpsc::Receiver<()>,
    /// Whether it was said that nothing is watched.
    told: bool,
    /// What the configuration in effect depends on.
    followed: Vec<PathBuf>,
    /// And what is watched beside it.
    paths: Vec<PathBuf>,
}

/// What the thread hears.
#[derive(Debug)]
enum Order {
    /// These are to be watched, and nothing else.
    Look(Vec<PathBuf>),
    /// Something that is watched changed.
    Changed,
    /// Nobody listens any more.
    End,
}

impl Watch {
    /// A watch over nothing.
    pub fn new() -> Self {
        let (orders, inbox) = std::sync::mpsc::channel();
        let (tell, changed) = mpsc::channel(1);
        let lookout = Lookout::new(orders.clone());
        let thread = std::thread::Builder::new().name("watch".to_owned());
        let spawned = thread.spawn(move || lookout.run(&inbox, &tell));
        if let Err(error) = &spawned {
            tracing::warn!(%error, "files are not watched; SIGHUP reloads");
        }
        Self {
            orders,
            changed,
            told: spawned.is_err(),
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
        self.paths.clone_from(&paths);
        let _ = self.orders.send(Order::Look(paths));
    }

    /// Waits until something changed and then nothing for a moment; not for ever where changes never end.
    /// Cancel safe: a change that was seen is kept.
    pub async fn changed(&mut self) {
        if self.changed.recv().await.is_none() {
            if !std::mem::replace(&mut self.told, true) {
                tracing::error!("files are not watched any more; SIGHUP reloads");
            }
            std::future::pending::<()>().await;
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
    }
}

/// The thread that looks.
struct Lookout {
    /// For events of the system.
    orders: std::sync::mpsc::Sender<Order>,
    eyes: Option<Eyes>,
    debounce: Debounce,
    paths: Vec<PathBuf>,
    /// What the files were like where the system does not tell of all of them.
    glance: Option<u64>,
}

impl Lookout {
    fn new(orders: std::sync::mpsc::Sender<Order>) -> Self {
        Self {
            orders,
            eyes: None,
            debounce: Debounce::default(),
            paths: Vec::new(),
            glance: None,
        }
    }

    fn run(mut self, inbox: &std::sync::mpsc::Receiver<Order>, tell: &mpsc::Sender<()>) {
        self.open();
        let mut sweep = clock::now() + SWEEP;
        loop {
            let due = self.debounce.due().map_or(sweep, |due| due.min(sweep));
            let wait = clock::between(clock::now(), due);
            match inbox.recv_timeout(wait) {
                Ok(Order::Look(paths)) => {
                    self.paths = paths;
                    if self.look() == News::More {
                        self.debounce.changed(clock::now());
                    }
                }
                Ok(Order::Changed) => self.debounce.changed(clock::now()),
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = clock::now();
            if sweep <= now {
                if self.sweep() == News::More {
                    self.debounce.changed(now);
                }
                sweep = clock::now() + SWEEP;
            }
            if self.debounce.due().is_some_and(|due| due <= now) {
                self.debounce.clear();
                // A link may lead elsewhere now: watch first, so that no change falls before the reading.
                self.look();
                // Full: one that was not heard yet says the same.
                let _ = tell.try_send(());
            }
        }
    }

    /// The system's watcher, where there is one to be had. It is asked once: the library must not be let fail in a process that has few threads left.
    fn open(&mut self) {
        let orders = self.orders.clone();
        let eyes = Eyes::open(move || {
            let _ = orders.send(Order::Changed);
        });
        self.eyes = eyes
            .map_err(|error| {
                tracing::warn!(%error, "the system tells nothing of changes: files are looked at every two seconds");
            })
            .ok();
    }

    fn look(&mut self) -> News {
        let news = match &mut self.eyes {
            Some(eyes) => eyes.look_at(&self.paths),
            None => News::More,
        };
        match self.glanced() {
            News::More => News::More,
            News::Same => news,
        }
    }

    /// Looks at the files from outside where the system does not tell of all of them; whether they are like they were.
    fn glanced(&mut self) -> News {
        let blind = self.eyes.as_ref().is_none_or(Eyes::is_blind);
        let now = blind.then(|| glance(&self.paths));
        match (std::mem::replace(&mut self.glance, now), now) {
            (Some(before), Some(now)) if before != now => News::More,
            _ => News::Same,
        }
    }

    fn sweep(&mut self) -> News {
        let swept = self.eyes.as_mut().map_or(News::Same, Eyes::sweep);
        match self.glanced() {
            News::More => News::More,
            News::Same => swept,
        }
    }
}

/// What files are like from outside: another number where one was replaced, written to, or is named by another link.
fn glance(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        let look = |metadata: Metadata| {
            // Of the time of any change, that of owner and mode included.
            let changed = (metadata.ctime(), metadata.ctime_nsec(), metadata.size());
            (metadata.dev(), metadata.ino(), changed)
        };
        std::fs::metadata(path).ok().map(look).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::eyes::tests::Dir;
    use std::fs;
    use std::os::unix::fs::symlink;

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
    fn where_the_system_tells_nothing_a_glance_does() {
        let dir = Dir::new("glance");
        let at = |path: &str| dir.0.join(path);
        fs::write(at("one"), "1").unwrap();
        fs::write(at("two"), "22").unwrap();
        symlink("one", at("link")).unwrap();
        let (orders, _inbox) = std::sync::mpsc::channel();
        let mut lookout = Lookout::new(orders);
        lookout.paths = vec![at("link"), at("missing")];
        let mut blind = || lookout.sweep() == News::More;
        assert!(!blind() && !blind(), "nothing is new");
        fs::write(at("one"), "one").unwrap();
        assert!(blind() && !blind(), "written to");
        symlink("two", at("next")).unwrap();
        fs::rename(at("next"), at("link")).unwrap();
        assert!(blind() && !blind(), "another link");
        fs::write(at("missing"), "").unwrap();
        assert!(blind() && !blind(), "it is there");
    }
}
