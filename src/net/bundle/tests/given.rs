//! What is given away.

use super::*;

/// What is given away leaves whatever its owner does, and before what the owner says next.
#[tokio::test]
async fn what_is_given_away_leaves() {
    let mut pairs = crowd(5).await;
    let bells = bells(5);
    for (at, (stream, _)) in pairs.iter().enumerate() {
        assert_eq!(wrote(give(stream, &bells[at], b"given ")), 6);
        assert!(left_of(stream, &bells[at]).is_ready());
    }
    // One says more, two leave.
    assert!(write(&pairs[0].0, &bells[0], b"more").is_pending());
    let mut gone: Vec<_> = pairs.split_off(3);
    assert_eq!(got(&mut gone[0].1), b"");
    let gone = gone.into_iter().map(|(stream, peer)| {
        drop(stream);
        peer
    });
    for mut peer in gone.collect::<Vec<_>>() {
        assert_eq!(got(&mut peer), b"given ");
        assert_eq!(got(&mut peer), b"");
    }
    leave();
    assert_eq!([0, 1, 2].map(|at| bells[at].rung()), [1, 0, 0]);
    assert!(write(&pairs[0].0, &bells[0], b"more").is_pending());
    leave();
    assert_eq!(wrote(write(&pairs[0].0, &bells[0], b"more")), 4);
    assert_eq!(got(&mut pairs[0].1), b"given more");
    assert_eq!(got(&mut pairs[1].1), b"given ");
    assert_eq!(wrote(give(&pairs[1].0, &bells[1], b"again")), 5);
    leave();
    assert_eq!(got(&mut pairs[1].1), b"again");
    drop(pairs);
    assert_eq!(left(), (0, 0));
}

/// What a full kernel does not take of it waits, and what is written next waits for that.
#[tokio::test]
async fn what_is_given_to_a_full_socket_is_kept() {
    let mut pairs = crowd(4).await;
    let bells = bells(4);
    let mut said = pairs[3].0.fill_kernel();
    for (at, (stream, _)) in pairs.iter().enumerate() {
        assert_eq!(wrote(give(stream, &bells[at], &[1; 5000])), 5000);
    }
    said += 5000;
    leave();
    assert_eq!([0, 1, 2, 3].map(|at| bells[at].rung()), [0, 0, 0, 1]);
    let (stream, peer) = &mut pairs[3];
    assert!(left_of(stream, &bells[3]).is_pending());
    assert!(!stream.is_bundled(), "it is the peer that holds it up");
    assert!(write(stream, &bells[3], b"behind").is_pending());
    let mut heard = Vec::new();
    let mut behind = 0;
    while behind < 6 {
        heard.extend_from_slice(&got(peer));
        tokio::task::yield_now().await;
        if let Poll::Ready(taken) = write(stream, &bells[3], &b"behind"[behind..]) {
            behind += taken.unwrap();
        }
        leave();
    }
    while heard.len() < said + 6 {
        heard.extend_from_slice(&got(peer));
    }
    assert_eq!(heard.len(), said + 6);
    assert!(heard[said - 5000..said].iter().all(|byte| *byte == 1));
    assert_eq!(&heard[said..], b"behind");
    drop(pairs);
    assert_eq!(left(), (0, 0));
}
