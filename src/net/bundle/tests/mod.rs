mod given;

use std::io::{Read, Write as _};
use std::net::TcpStream as Peer;
use std::sync::Arc;
use std::task::Wake;

use tokio::net::TcpStream;

use super::*;
use crate::net::Stream;

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn bells(count: usize) -> Vec<Arc<Bell>> {
    (0..count).map(|_| Arc::default()).collect()
}

/// Connections, and a ring.
async fn crowd(count: usize) -> Vec<(Stream, Peer)> {
    std::mem::forget(open().expect("io_uring"));
    gather(true);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pairs = Vec::new();
    for _ in 0..count {
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await;
        let theirs = listener.accept().unwrap().0;
        theirs.set_nonblocking(true).unwrap();
        pairs.push((ours.unwrap().into(), theirs));
    }
    pairs
}

fn write(stream: &Stream, bell: &Arc<Bell>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    send(stream, bell, bytes, Tell::Always)
}

fn send(stream: &Stream, bell: &Arc<Bell>, bytes: &[u8], tell: Tell) -> Poll<io::Result<usize>> {
    let waker = Waker::from(Arc::clone(bell));
    stream.poll_send(&mut Context::from_waker(&waker), bytes, tell)
}

fn write_last(stream: &Stream, bell: &Arc<Bell>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    send(stream, bell, bytes, Tell::Trouble)
}

fn give(stream: &Stream, bell: &Arc<Bell>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    send(stream, bell, bytes, Tell::Given)
}

fn left_of(stream: &Stream, bell: &Arc<Bell>) -> Poll<io::Result<()>> {
    let waker = Waker::from(Arc::clone(bell));
    stream.poll_left(&mut Context::from_waker(&waker))
}

fn wrote(poll: Poll<io::Result<usize>>) -> usize {
    match poll {
        Poll::Ready(taken) => taken.unwrap(),
        Poll::Pending => panic!("it waits"),
    }
}

fn got(peer: &mut Peer) -> Vec<u8> {
    let mut buf = vec![0; 64 << 10];
    let read = peer.read(&mut buf);
    buf[..read.unwrap_or(0)].to_vec()
}

fn left() -> (usize, usize) {
    BUNDLE.with_borrow(|bundle| (bundle.sends.len(), bundle.bytes.len()))
}

#[tokio::test]
async fn what_many_send_leaves_at_the_end_of_the_turn() {
    let mut pairs = crowd(5).await;
    let bells = bells(5);
    for (at, (stream, _)) in pairs.iter().enumerate() {
        let text = format!("from {at}");
        assert!(write(stream, &bells[at], text.as_bytes()).is_pending());
        assert!(write(stream, &bells[at], text.as_bytes()).is_pending());
    }
    for (_, peer) in &mut pairs {
        assert_eq!(got(peer), b"");
    }
    leave();
    for (at, (stream, peer)) in pairs.iter_mut().enumerate() {
        assert_eq!(got(peer), format!("from {at}").as_bytes());
        assert_eq!(bells[at].rung(), 1);
        // More may stand behind it by then.
        assert_eq!(wrote(write(stream, &bells[at], b"from N and more")), 6);
    }
    assert_eq!(left(), (0, 0));
}

#[tokio::test]
async fn few_leave_one_by_one() {
    let mut pairs = crowd(2).await;
    let bells = bells(2);
    for (at, (stream, _)) in pairs.iter().enumerate() {
        assert!(write(stream, &bells[at], b"few").is_pending());
    }
    leave();
    for (at, (stream, peer)) in pairs.iter_mut().enumerate() {
        assert_eq!((got(peer), bells[at].rung()), (b"few".to_vec(), 1));
        assert_eq!(wrote(write(stream, &bells[at], b"few")), 3);
    }
    // Of a crowd that is silent nobody is waited for each time.
    let mut waited = 0;
    for _ in 0..1000 {
        if write(&pairs[0].0, &bells[0], b"alone").is_pending() {
            waited += 1;
            leave();
            assert_eq!(wrote(write(&pairs[0].0, &bells[0], b"alone")), 5);
        }
    }
    assert!((10..30).contains(&waited), "{waited}");
    gather(false);
    assert_eq!(wrote(write(&pairs[0].0, &bells[0], b"alone")), 5);
    assert_eq!(left(), (0, 0));
}

/// What is dropped is not sent, though its descriptor may be somebody else's by then.
#[tokio::test]
async fn what_is_dropped_is_not_sent() {
    let mut pairs = crowd(4).await;
    let bells = bells(4);
    for (at, (stream, _)) in pairs.iter().enumerate() {
        assert!(write(stream, &bells[at], b"mine").is_pending());
    }
    let (stream, mut gone) = pairs.pop().unwrap();
    drop(stream);
    let mut stranger = crowd(1).await.pop().unwrap();
    leave();
    assert_eq!(got(&mut gone), b"");
    assert_eq!(got(&mut stranger.1), b"");
    for (_, peer) in &mut pairs {
        assert_eq!(got(peer), b"mine");
    }
    assert_eq!([0, 1, 2, 3].map(|at| bells[at].rung()), [1, 1, 1, 0]);
    drop(pairs);
    assert_eq!(left(), (0, 0));
}

/// Who waits for an answer anyway is woken only where something is wrong.
#[tokio::test]
async fn who_has_nothing_to_do_is_not_woken() {
    let pairs = crowd(4).await;
    let bells = bells(4);
    let full = &pairs[3].0;
    full.fill_kernel();
    for (at, (stream, _)) in pairs.iter().enumerate() {
        assert!(write_last(stream, &bells[at], b"last").is_pending());
    }
    leave();
    assert_eq!([0, 1, 2, 3].map(|at| bells[at].rung()), [0, 0, 0, 1]);
    for at in 0..3 {
        assert_eq!(wrote(write_last(&pairs[at].0, &bells[at], b"last")), 4);
    }
    // Its owner is as one of a full socket.
    assert!(write_last(full, &bells[3], b"last").is_pending());
    assert_eq!(left(), (0, 0));
}

#[tokio::test]
async fn a_peer_that_is_gone_is_an_error_of_its_own() {
    let mut pairs = crowd(4).await;
    let bells = bells(4);
    let (_, peer) = pairs.remove(0);
    let gone = pairs.remove(0);
    socket2::SockRef::from(&gone.1)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(gone.1);
    drop(peer);
    let more = crowd(1).await;
    for (at, (stream, _)) in pairs.iter().chain(&more).enumerate() {
        assert!(write_last(stream, &bells[at], b"here").is_pending());
    }
    assert!(write_last(&gone.0, &bells[3], b"here").is_pending());
    leave();
    assert_eq!(bells[3].rung(), 1);
    match write_last(&gone.0, &bells[3], b"here") {
        Poll::Ready(Err(error)) => assert!(
            matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ),
            "{error}"
        ),
        other => panic!("{other:?}"),
    }
    for (at, (stream, _)) in pairs.iter().chain(&more).enumerate() {
        assert_eq!(wrote(write_last(stream, &bells[at], b"here")), 4);
    }
}

/// A full bundle leaves before the end of the turn, and what is long does not wait in it.
#[tokio::test]
async fn a_full_bundle_leaves_at_once() {
    let count = MOST as usize;
    let mut pairs = crowd(count + 1).await;
    let bells = bells(count + 1);
    for (at, (stream, _)) in pairs.iter().take(count - 1).enumerate() {
        assert!(write(stream, &bells[at], &[7; SHORT]).is_pending());
        assert!(stream.is_bundled());
    }
    // Of what leaves at once it is told at once.
    let last = count - 1;
    assert_eq!(
        wrote(write(&pairs[last].0, &bells[last], &[7; SHORT])),
        SHORT
    );
    for (at, (stream, peer)) in pairs.iter_mut().take(count).enumerate() {
        assert_eq!(got(peer).len(), SHORT);
        if at < last {
            assert_eq!(wrote(write(stream, &bells[at], &[7; SHORT])), SHORT);
        }
        assert!(!stream.is_bundled());
    }
    assert_eq!(wrote(write(&pairs[0].0, &bells[0], b"")), 0);
    assert_eq!(
        wrote(write(&pairs[count].0, &bells[count], &[7; SHORT + 1])),
        SHORT + 1
    );
    assert_eq!(left(), (0, 0));
}

/// At the end, and where nobody would send any more, what waits leaves, and everybody sends for themselves.
#[tokio::test]
async fn at_the_end_nothing_waits() {
    let before = rings();
    let mut pairs = crowd(4).await;
    let bells = bells(4);
    for (at, (stream, _)) in pairs.iter().enumerate() {
        assert!(write_last(stream, &bells[at], b"before").is_pending());
    }
    assert!(rings() > before);
    drop(Sends(PhantomData));
    for (at, (stream, peer)) in pairs.iter_mut().enumerate() {
        assert_eq!(got(peer), b"before");
        assert_eq!(wrote(write_last(stream, &bells[at], b"before")), 6);
        gather(true);
        assert_eq!(wrote(write_last(stream, &bells[at], b"after")), 5);
    }
    assert_eq!(left(), (0, 0));
}

/// Who has something to do behind it after all is told.
#[tokio::test]
async fn who_asks_again_to_be_told_is() {
    let pairs = crowd(3).await;
    let bells = bells(3);
    for (at, (stream, _)) in pairs.iter().enumerate() {
        assert!(write_last(stream, &bells[at], b"last").is_pending());
    }
    assert!(write(&pairs[1].0, &bells[1], b"last, and more").is_pending());
    leave();
    assert_eq!([0, 1, 2].map(|at| bells[at].rung()), [0, 1, 0]);
}

/// What two random ends say to each other arrives as it was said, whatever waits, is full, or is looked at again.
#[tokio::test]
async fn every_byte_arrives_once_and_in_order() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut pairs = crowd(12).await;
    let bells = bells(12);
    let mut said = vec![Vec::new(); 12];
    let mut heard = vec![Vec::new(); 12];
    let mut waiting = vec![Vec::<u8>::new(); 12];
    for turn in 0..3000_u32 {
        gather(random.u8(..4) > 0);
        for (at, (stream, peer)) in pairs.iter_mut().enumerate() {
            if random.u8(..3) == 0 && waiting[at].len() < 100_000 {
                let more = vec![random.u8(..); random.usize(1..12_000)];
                said[at].extend_from_slice(&more);
                waiting[at].extend_from_slice(&more);
            }
            if !waiting[at].is_empty() && random.bool() {
                let waker = Waker::from(Arc::clone(&bells[at]));
                let mut cx = Context::from_waker(&waker);
                let (first, second) = waiting[at].split_at(waiting[at].len() / 2);
                let polled = match random.u8(..4) {
                    0 => stream.poll_write(&mut cx, &waiting[at]),
                    1 => stream.poll_send(&mut cx, &waiting[at], Tell::Trouble),
                    2 => stream.poll_send(&mut cx, &waiting[at], Tell::Given),
                    _ => stream.poll_write_two(&mut cx, first, second),
                };
                if let Poll::Ready(taken) = polled {
                    waiting[at].drain(..taken.unwrap());
                }
            }
            if at > 0 || turn % 50 == 0 {
                heard[at].extend_from_slice(&got(peer));
            }
        }
        if random.bool() {
            leave();
        }
        tokio::task::yield_now().await;
    }
    gather(false);
    leave();
    for (at, (stream, peer)) in pairs.iter_mut().enumerate() {
        while !waiting[at].is_empty() {
            if let Poll::Ready(taken) = write(stream, &bells[at], &waiting[at]) {
                waiting[at].drain(..taken.unwrap());
            }
            heard[at].extend_from_slice(&got(peer));
            tokio::task::yield_now().await;
        }
        while left_of(stream, &bells[at]).is_pending() {
            heard[at].extend_from_slice(&got(peer));
            tokio::task::yield_now().await;
        }
        while heard[at].len() < said[at].len() {
            heard[at].extend_from_slice(&got(peer));
        }
        assert!(heard[at] == said[at], "{at}");
        assert_eq!(peer.write(b"x").unwrap(), 1);
    }
    assert_eq!(left(), (0, 0));
}

/// To be full is what the clocks of a slow peer go by: it does not look like a turn that is not over.
#[tokio::test]
async fn a_full_socket_is_asked_alone_until_it_takes_all() {
    let mut pairs = crowd(4).await;
    let bells = bells(4);
    let mut said = pairs[3].0.fill_kernel();
    for (at, (stream, _)) in pairs.iter().enumerate() {
        assert!(write(stream, &bells[at], &[1; 5000]).is_pending());
        assert!(stream.is_bundled());
    }
    leave();
    let (stream, peer) = &mut pairs[3];
    for _ in 0..3 {
        assert!(write(stream, &bells[3], &[1; 5000]).is_pending());
        assert!(!stream.is_bundled(), "it is the peer that holds it up");
    }
    let mut heard = 0;
    let mut rest = 5000;
    while rest > 0 {
        heard += got(peer).len();
        tokio::task::yield_now().await;
        if let Poll::Ready(taken) = write(stream, &bells[3], &vec![1; rest]) {
            rest -= taken.unwrap();
        }
        assert!(!stream.is_bundled());
    }
    said += 5000;
    while heard < said {
        heard += got(peer).len();
    }
    assert!(write(stream, &bells[3], b"again").is_pending());
    assert!(stream.is_bundled());
}
