//! Faults: endpoints that die, hang, lie and close at the wrong moment; clients that leave, dawdle and flood; a kernel
//! that says no. What is lost is what must be, nothing is done twice, and nothing is mixed up.
//!
//! Names carry the rows (F-…) of docs/reliability.md. `TIDEGATE_FAULT_SCALE=full` runs the sizes that its figures are
//! from. Rows that belong to a topic stand with it: F-09 and F-21 in `reload`, F-10 in `drain`, F-30 in `retry`, F-44 in
//! `accesslog`.

mod clients;
mod clock;
mod crosstalk;
mod floods;
mod kernel;
mod kills;
mod lies;
mod logs;
mod panics;
mod peers;
mod races;
mod stalls;

use crate::support::load::{Tally, ask};
use crate::support::{OriginProcess, Proxy, Setup, eventually};
use std::collections::HashMap;
use std::path::Path;

/// Where the next fault hits: the same in every run with the same number of steps.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from((self.0 >> 33) % limit.max(1) as u64).unwrap_or(0)
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count)
            .map(|_| u8::try_from(self.below(256)).unwrap_or(0))
            .collect()
    }
}

pub fn over(origins: &[OriginProcess], keys: &str) -> Setup {
    let addrs: Vec<_> = origins.iter().map(OriginProcess::addr).collect();
    Setup::over_with(&addrs, keys)
}

/// Where only the rule is tested, not the budget.
pub const GENEROUS: &str = "budget = { ratio = 1.0, min_per_second = 1000 }";

/// Waits until every endpoint is asked again.
pub fn settle(proxy: &Proxy) {
    let mut tally = Tally::default();
    let mut client = proxy.client();
    for _ in 0..10 {
        if !ask(&mut client, "GET", &mut tally) {
            client = proxy.client();
        }
    }
}

/// What holds after every fault, once nobody asks any more: nothing is counted as under way, no task panicked, and the
/// next client is served.
#[track_caller]
pub fn is_calm(proxy: &Proxy) {
    is_calm_but_for(proxy, 0.0);
}

/// The same, where so many tasks panicked because the test made them.
#[track_caller]
pub fn is_calm_but_for(proxy: &Proxy, panics: f64) {
    for gauge in [
        "tidegate_requests_active",
        "tidegate_upstream_requests_active",
        "tidegate_connections_active",
    ] {
        eventually(&format!("{gauge} is 0"), || {
            (proxy.metric(gauge, &[]) == 0.0).then_some(())
        });
    }
    assert_eq!(
        proxy.metric("tidegate_runtime_task_panics_total", &[]),
        panics,
        "{}",
        proxy.output()
    );
    eventually("the next client is served", || {
        proxy
            .client()
            .try_get("/")
            .ok()
            .filter(|answer| answer.status == 200)
    });
}

/// Requests that reached an origin more than once, by the journal that all origins write (`METHOD NONCE` a line).
pub fn twice(journal: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for line in text.lines() {
        *seen.entry(line).or_default() += 1;
    }
    seen.into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(line, count)| format!("{line} came {count} times"))
        .collect()
}
