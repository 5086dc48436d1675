//! Many certificates.

use super::Bed;
use crate::support::scale;
use crate::support::tls::status;

/// F-26: each of them is found by its name, which a client verifies, and none takes more than its share of memory.
#[test]
fn every_one_of_many_certificates_is_found() {
    let one = Bed::new().proxy.held();
    let count = scale(300, 10_000);
    let bed = Bed::with("", &|authority| {
        (0..count)
            .map(|at| authority.issue(&[&format!("n{at}.example")]))
            .collect()
    });
    let client = bed.client();
    for at in (0..count).step_by(count / 20).chain([count - 1]) {
        let name = format!("n{at}.example");
        assert_eq!(status(bed.proxy.web, &name, &client), 200, "{name}");
    }
    // 12 KiB for each, beside what a process takes more or less for other reasons.
    let grown = bed.proxy.held().saturating_sub(one);
    assert!(grown <= 12 * count + (8 << 10), "{grown} KiB for {count}");
}
