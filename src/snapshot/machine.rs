//! How much memory this process may use.

use std::fs;

/// Where neither a control group nor the machine says how much there is.
const UNKNOWN: u64 = 1 << 30;

/// Bytes of memory that the process may use: the least of its control groups' limits and the machine's memory.
pub(super) fn memory() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = files(&groups)
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    limits.chain(total(&meminfo)).min().unwrap_or(UNKNOWN)
}

/// Files that may hold a limit: of this group and of all above it, in both versions of the interface. In a
/// container the path is often not what is mounted, so the root is asked too.
fn files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            files.push(format!("{root}{path}/{file}"));
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => break,
            }
        }
    }
    files
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|it| it.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_above_is_asked() {
        let found = files("8:pids:/x\n4:memory:/a/b\n0::/c\n");
        assert_eq!(
            found,
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/c/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(total("MemFree: 1 kB\nMemTotal:   2048 kB\n"), Some(2 << 20));
        assert!(memory() > 0);
    }
}
