//! What the kernel says of this process.

use std::fs;

use super::names;
use super::scrape::Scrape;

/// Ticks per second of the times in `/proc/self/stat`: `USER_HZ` is 100 on every Linux architecture
/// that is built today (time(7)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the `process_*` metrics. What cannot be read is left out.
pub(super) fn collect(scrape: &mut Scrape) {
    if let Ok(fds) = fs::read_dir("/proc/self/fd") {
        // The listing's own descriptor is not one of the process's.
        let open = fds.count().saturating_sub(1);
        scrape.gauge(&names::PROCESS_OPEN_FDS, &[], open as f64);
    }
    if let Ok(limits) = fs::read_to_string("/proc/self/limits")
        && let Some(max) = max_fds(&limits)
    {
        scrape.gauge(&names::PROCESS_MAX_FDS, &[], max);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for (metric, key, scale) in [
            (&names::PROCESS_RESIDENT_MEMORY, "VmRSS:", 1024.0),
            (&names::PROCESS_VIRTUAL_MEMORY, "VmSize:", 1024.0),
            (&names::PROCESS_THREADS, "Threads:", 1.0),
        ] {
            if let Some(value) = status_value(&status, key) {
                scrape.gauge(metric, &[], value * scale);
            }
        }
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat")
        && let Some((cpu, start)) = stat_times(&stat)
    {
        scrape.seconds(&names::PROCESS_CPU, &[], cpu);
        if let Some(boot) = fs::read_to_string("/proc/stat")
            .ok()
            .as_deref()
            .and_then(boot_time)
        {
            scrape.gauge(&names::PROCESS_START_TIME, &[], boot + start);
        }
    }
}

fn max_fds(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn status_value(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|l| l.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn boot_time(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|l| l.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// CPU seconds, and seconds from boot to start. The command's name may hold anything, so fields are
/// counted from behind its closing parenthesis (proc(5): utime is 14, stime 15, starttime 22).
fn stat_times(stat: &str) -> Option<(f64, f64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let cpu = (ticks(14)? + ticks(15)?) / TICKS_PER_SECOND;
    Some((cpu, ticks(22)? / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_command_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 4 0 900 1 1";
        assert_eq!(stat_times(stat), Some((3.0, 9.0)));
        assert_eq!(stat_times("7 (a"), None);
    }

    #[test]
    fn reads_limits_and_status() {
        let limits = "Limit  Soft Limit\nMax open files            20000     30000     files\n";
        assert_eq!(max_fds(limits), Some(20_000.0));
        assert_eq!(max_fds("Max open files  unlimited unlimited files"), None);
        assert_eq!(status_value("VmRSS:\t   640 kB\n", "VmRSS:"), Some(640.0));
        assert_eq!(
            boot_time("cpu 1\nbtime 1700000000\n"),
            Some(1_700_000_000.0)
        );
    }
}
