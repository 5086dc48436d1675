//! What one decision of a rate limiter costs: the hash of its key, the look-up, the arithmetic.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate::base::hash::HashKey;
use tidegate::limit::{Algorithm, Meters, Over, Rule};

const SECOND: u64 = 1_000_000;
const START: u64 = 1_790_000_000 * SECOND;

fn decisions(criterion: &mut Criterion) {
    let hash = HashKey::random();
    for algorithm in [
        Algorithm::TokenBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
    ] {
        for (name, keys) in [("10^4 hot", 10_000_u64), ("10^6 uniform", 1_000_000)] {
            let Ok(rule) = Rule::new(algorithm, 100, 60 * SECOND, 200, Over::Reject) else {
                continue;
            };
            let meters = Meters::new(algorithm, 1_000_000);
            let key = |n: u64| hash.hash128(format!("client-{n:016}").as_bytes());
            for n in 0..keys {
                meters.take(key(n), &rule, 1, START);
            }
            let texts: Vec<[u8; 23]> = (0..keys.min(10_000))
                .map(|n| {
                    let mut text = [0; 23];
                    text.copy_from_slice(
                        format!("client-{:016}", n * (keys / keys.min(10_000))).as_bytes(),
                    );
                    text
                })
                .collect();
            let mut rng = fastrand::Rng::with_seed(1);
            let mut now = START;
            criterion.bench_function(&format!("{}, {name}", algorithm.as_str()), |bencher| {
                bencher.iter(|| {
                    now += 10;
                    let mut text = *texts.get(rng.usize(..texts.len())).unwrap_or(&[0; 23]);
                    if keys > 10_000 {
                        // Any of the million: the digits are drawn, not stored.
                        let mut n = rng.u64(..keys);
                        for digit in text.iter_mut().rev().take(7) {
                            *digit = b'0' + u8::try_from(n % 10).unwrap_or(0);
                            n /= 10;
                        }
                    }
                    meters.take(hash.hash128(black_box(&text)), &rule, 1, now)
                });
            });
        }
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
