//! The price of one pick, for each balancer, at 3, 100 and 10 000 endpoints, and with most of them gone; and what a
//! balancer of 10 000 endpoints takes to make, in time and memory.

#![expect(clippy::unwrap_used, reason = "a bench may stop")]
#![expect(clippy::print_stdout, reason = "criterion has no place for bytes")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tidegate::balance::{Algorithm, Balancer, Cursor, PickInput};
use tidegate::base::hash::HashKey;
use tidegate::base::{ClusterName, EndpointAddr, clock};
use tidegate::endpoint::{Admin, Endpoint, EndpointKey, EndpointSet, EndpointState, Origin, Tried};
use tidegate::health::Status;
use tidegate::upstream::ConnectSpec;

const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::LeastTime,
    Algorithm::RingHash {
        vnodes: Algorithm::VNODES,
        load_factor: None,
    },
    Algorithm::Maglev {
        table_size: Algorithm::TABLE_SIZE,
    },
    Algorithm::Rendezvous,
    Algorithm::RoundRobin,
    Algorithm::Random,
    Algorithm::LeastRequest,
    Algorithm::LeastConnections,
];

/// `size` endpoints with weights in a cycle of `weights`, of which one in `every` is enabled.
fn set(size: u32, weights: u32, every: u32) -> EndpointSet {
    let cluster = ClusterName::parse("bench").unwrap();
    let make = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        let addr = EndpointAddr::parse(&format!("127.{a}.{b}.{c}:9000")).unwrap();
        let state = Arc::new(EndpointState::default());
        if !number.is_multiple_of(every) {
            state.set_admin(Admin::Disabled);
        }
        Arc::new(Endpoint {
            text: addr.to_string().into(),
            spec: Arc::new(ConnectSpec {
                addr: addr.clone(),
                protocol: tidegate::upstream::Protocol::Http1,
                preface: None,
                tls: None,
                socket: tidegate::upstream::SocketSpec::default(),
            }),
            key: EndpointKey {
                cluster: cluster.clone(),
                addr,
            },
            weight: number % weights + 1,
            admin: state.admin(),
            origin: Origin::default(),
            tier: 0,
            health: Some(state.health_cell(1, Status::Healthy)),
            state,
        })
    };
    EndpointSet::new((0..size).map(make).collect())
}

fn pick(criterion: &mut Criterion) {
    let cases = [
        ("equal", 1, 1),
        ("weighted", 7, 1),
        ("one in ten enabled", 1, 10),
    ];
    for (case, weights, every) in cases {
        let mut group = criterion.benchmark_group(format!("pick/{case}"));
        for size in [3, 100, 10_000] {
            let set = set(size, weights, every);
            for algorithm in ALGORITHMS {
                let balancer = Balancer::new(algorithm, &set, HashKey::from_seed("bench"));
                let mut cursor = Cursor::with_seed(1);
                let (tried, now) = (Tried::new(), clock::now());
                let id = BenchmarkId::new(algorithm.as_str(), size);
                group.bench_function(id, |bencher| {
                    let mut hash = 0u64;
                    bencher.iter(|| {
                        hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
                        let input = PickInput {
                            tried: &tried,
                            cap: 1024,
                            hash: Some(hash),
                            now,
                        };
                        balancer.pick(black_box(&set), &mut cursor, &input)
                    });
                });
            }
        }
        group.finish();
    }
}

/// Counts what is allocated and not given back.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator is")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: see above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn make(criterion: &mut Criterion) {
    const SIZE: u32 = 10_000;
    let mut group = criterion.benchmark_group("make/10000");
    group.sample_size(10);
    let before = HELD.load(Ordering::Relaxed);
    let endpoints = set(SIZE, 7, 1);
    let held = HELD.load(Ordering::Relaxed) - before;
    println!("endpoints: {} bytes each", held / SIZE as usize);
    for algorithm in ALGORITHMS {
        let before = HELD.load(Ordering::Relaxed);
        let balancer = Balancer::new(algorithm, &endpoints, HashKey::from_seed("bench"));
        let held = HELD.load(Ordering::Relaxed) - before;
        println!(
            "{}: {} bytes an endpoint",
            algorithm.as_str(),
            held / SIZE as usize
        );
        drop(balancer);
        group.bench_function(algorithm.as_str(), |bencher| {
            bencher.iter(|| Balancer::new(algorithm, &endpoints, HashKey::from_seed("bench")));
        });
    }
    group.finish();
}

criterion_group!(benches, pick, make);
criterion_main!(benches);
