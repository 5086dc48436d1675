//! `bandwidth_limit` over HTTP/2: a stream that is slowed down holds up no other.

use super::slow::{LARGEST, ask, client};
use crate::support::frames::{DATA, END_STREAM};
use crate::support::{Answer, Origin, Setup};

#[test]
fn a_stream_is_slowed_down_and_its_neighbour_is_not() {
    let app = Origin::answering(|_| Answer::ok(vec![b'x'; 64 << 10]));
    let proxy = Setup::over(&[app.addr()])
        .route(
            "slow",
            "path = \"/slow\"\ncluster = \"app\"\nfilters = [{ bandwidth_limit = { download = \"32KiB\" } }]",
        )
        .start();
    let mut client = client(proxy.web, LARGEST);
    ask(&mut client, 1, "/slow");
    ask(&mut client, 3, "/");
    let (mut read, mut ended) = ([0, 0], Vec::new());
    while ended.len() < 2 {
        let frame = client.frame().expect("a frame");
        if frame.kind == DATA {
            read[usize::from(frame.stream == 3)] += frame.payload.len();
            if frame.flags & END_STREAM != 0 {
                ended.push(frame.stream);
            }
        }
    }
    assert_eq!((read, ended), ([64 << 10; 2], vec![3, 1]));
    let labels = [("route", "slow"), ("direction", "download")];
    assert!(proxy.metric("tidegate_bandwidth_waits_total", &labels) >= 3.0);
}
