//! Our HTTP/2 against two others, as their server: the `h2` crate, and Python's `h2` with `hpack`. Bodies of all sizes, fields
//! that come again, trailers, windows and tables that change.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use bytes::Bytes;
use tidegate::base::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::peers::python;
use super::root;
use super::wire::http2::Echo;

const SEED: u64 = 9113;

#[test]
fn pypi_h2_reads_what_it_wrote() {
    for seed in 0..4 {
        let mut child = Command::new(python())
            .arg(root("tests/wire/http2_peer.py"))
            .args([(SEED + seed).to_string(), "100".to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python; `make tools` installs it");
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut echo = Echo::new(clock::now());
        let mut buf = vec![0; 20_000];
        // Neither end may wait for the other to read.
        let (say, said) = std::sync::mpsc::channel::<Vec<u8>>();
        let writer = std::thread::spawn(move || {
            for out in said {
                if to.write_all(&out).and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
        });
        loop {
            let _ = say.send(std::mem::take(&mut echo.session.out));
            match from.read(&mut buf).unwrap() {
                0 => break,
                read => assert_eq!(echo.feed(&buf[..read]), Ok(()), "{}", echo.told),
            }
        }
        drop(say);
        writer.join().unwrap();
        assert!(child.wait().unwrap().success(), "seed {seed}");
        assert!(echo.session.streams.is_empty());
    }
}

async fn serve(mut wire: DuplexStream) -> Echo {
    let mut echo = Echo::new(clock::now());
    let mut buf = vec![0; 3000];
    loop {
        let out = std::mem::take(&mut echo.session.out);
        if wire.write_all(&out).await.is_err() {
            return echo;
        }
        match wire.read(&mut buf).await {
            Ok(read @ 1..) => assert_eq!(echo.feed(&buf[..read]), Ok(()), "{}", echo.told),
            _ => return echo,
        }
    }
}

/// One request of random shape, and its answer.
async fn call(client: h2::client::SendRequest<Bytes>, mut chance: fastrand::Rng) {
    let sizes = [0, 1, 100, 16_384, 16_385, 70_000, 300_000];
    let body: Vec<u8> = (0..sizes[chance.usize(..sizes.len())])
        .map(|_| chance.u8(..))
        .collect();
    let mut request = http::Request::post(format!("http://test.example/{}", chance.u32(..)));
    let mut fields = Vec::new();
    for name in 0..chance.usize(..12) {
        let len = [3, 30, 300][chance.usize(..3)];
        let value: String = (0..len).map(|_| chance.alphanumeric()).collect();
        fields.push((format!("x-{name}"), value));
    }
    for (name, value) in &fields {
        request = request.header(name, value);
    }
    let mut client = client.ready().await.unwrap();
    let (answer, mut sends) = client
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let sent = body.clone();
    let trailer = chance.bool();
    let upload = async move {
        let mut rest = Bytes::from(sent);
        while !rest.is_empty() {
            sends.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|cx| sends.poll_capacity(cx)).await;
            let piece = rest.split_to(room.unwrap().unwrap().min(rest.len()));
            sends.send_data(piece, false).unwrap();
        }
        if trailer {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-end", "there".parse().unwrap());
            sends.send_trailers(trailers).unwrap();
        } else {
            sends.send_data(Bytes::new(), true).unwrap();
        }
    };
    let download = async {
        let answer = answer.await.unwrap();
        let said: Vec<_> = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
            .collect();
        assert_eq!(said, fields);
        let mut from = answer.into_body();
        let mut read = Vec::new();
        while let Some(data) = from.data().await {
            let data = data.unwrap();
            read.extend_from_slice(&data);
            from.flow_control().release_capacity(data.len()).unwrap();
        }
        assert!(read == body, "{} of {}", read.len(), body.len());
        let trailers = from.trailers().await.unwrap();
        assert_eq!(
            trailers.is_some_and(|lines| lines["x-end"] == "there"),
            trailer
        );
    };
    tokio::join!(upload, download);
}

#[test]
fn the_h2_crate_reads_what_it_wrote() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let all = async {
        for seed in 0..4 {
            let (ours, theirs) = tokio::io::duplex(10_000);
            let server = serve(ours);
            let client = async {
                let (send, connection) = h2::client::Builder::new()
                    .initial_window_size([1000, 65_535, 1 << 20, 20_000][seed])
                    .header_table_size([0, 4096, 65_536, 100][seed])
                    .handshake::<_, Bytes>(theirs)
                    .await
                    .unwrap();
                let mut chance = fastrand::Rng::with_seed(SEED + seed as u64);
                let calls = async {
                    for _ in 0..10 {
                        let some = (0..10).map(|_| call(send.clone(), chance.fork()));
                        join_all(some).await;
                    }
                    drop(send);
                };
                let (ended, ()) = tokio::join!(connection, calls);
                ended.unwrap();
            };
            let (echo, ()) = tokio::join!(server, client);
            assert!(echo.session.streams.is_empty());
        }
    };
    runtime.block_on(all);
}

/// Runs futures to their ends, all at once.
async fn join_all(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        running.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if running.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}
