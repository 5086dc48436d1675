//! What a probe sends, and what it makes of the answer.

use super::*;

#[test]
fn sends_what_the_check_says() {
    run(|| async {
        let origin = Origin::start(OK).await;
        let (mut prober, mut reports) = prober();
        let named = HttpCheck {
            host: Some(HeaderValue::from_static("api.internal")),
            ..http()
        };
        prober.apply(vec![target(&origin.addr, spec(Check::Http(http())))]);
        reports.recv().await.unwrap();
        prober.apply(vec![target(&origin.addr, spec(Check::Http(named)))]);
        while !origin
            .heads
            .borrow()
            .iter()
            .any(|head| head.contains("api.internal"))
        {
            reports.recv().await.unwrap();
        }
        let heads = origin.heads.borrow();
        let first = heads.first().unwrap();
        assert!(
            first.starts_with("GET /healthz?full=1 HTTP/1.1\r\n"),
            "{first}"
        );
        assert!(
            first.contains(&format!("host: {}\r\n", origin.addr)),
            "{first}"
        );
        assert!(first.contains("connection: close\r\n"), "{first}");
    });
}

#[test]
fn a_hanging_probe_fails_at_its_timeout() {
    run(|| async {
        let origin = Origin::start(Answer::Hang).await;
        let (mut prober, mut reports) = prober();
        let mut spec = spec(Check::Http(http()));
        spec.policy.timeout = Duration::from_millis(30);
        prober.apply(vec![target(&origin.addr, spec)]);
        for _ in 0..3 {
            let seen = reports.recv().await.unwrap();
            assert_eq!(seen.failure.as_deref(), Some("no answer in time"));
        }
        // The interval is shorter than the timeout: still one at a time. The origin may see the end
        // of one connection only after the next one has come.
        assert!(origin.most_open.get() <= 2, "{}", origin.most_open.get());
    });
}

#[test]
fn judges_status_body_and_protocol() {
    run(|| async {
        let contains = |text: &str| HttpCheck {
            body_contains: Some(text.into()),
            ..http()
        };
        assert_eq!(verdict(OK, contains("ok")).await, None);
        let body = "the body does not contain what it must";
        assert_eq!(verdict(OK, contains("good")).await.as_deref(), Some(body));
        assert_eq!(verdict(BROKEN, http()).await.as_deref(), Some("status 500"));
        let ranges = HttpCheck {
            statuses: vec![204..=204, 500..=503],
            ..http()
        };
        assert_eq!(verdict(BROKEN, ranges).await, None);
        assert_eq!(verdict(Answer::Drip(60_000), contains("xok")).await, None);
        let late = verdict(Answer::Drip(70_000), contains("ok")).await;
        assert_eq!(late.as_deref(), Some(body), "past the first 64 KiB");
        for broken in [Answer::Close, Answer::Text("220 smtp ready\r\n\r\n")] {
            let failure = verdict(broken, http()).await.unwrap();
            assert!(failure.starts_with("no valid answer: "), "{failure}");
        }
    });
}

#[test]
fn a_right_answer_can_be_too_late() {
    run(|| async {
        let origin = Origin::start(OK).await;
        let (mut prober, mut reports) = prober();
        let mut spec = spec(Check::Http(http()));
        spec.policy.max_response_time = Duration::from_nanos(1);
        prober.apply(vec![target(&origin.addr, spec)]);
        let failure = reports.recv().await.unwrap().failure.unwrap();
        assert!(failure.contains("max_response_time"), "{failure}");
    });
}

#[test]
fn tcp_asks_only_for_a_connection() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = EndpointAddr::Inet(listener.local_addr().unwrap());
        let (mut prober, mut reports) = prober();
        prober.apply(vec![target(&addr, spec(Check::Tcp(TcpCheck::default())))]);
        assert!(reports.recv().await.unwrap().failure.is_none());

        drop(listener);
        let (_, fell) = transition(&mut reports).await;
        assert_eq!(
            fell.transition,
            Some(Transition {
                to: Status::Unhealthy,
                after: 3
            })
        );
        assert!(fell.failure.unwrap().starts_with("cannot connect: "));
    });
}

#[test]
fn udp_asks_for_a_datagram_and_its_answer() {
    run(|| async {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = EndpointAddr::Inet(server.local_addr().unwrap());
        let check = |expect: &[u8]| {
            Check::Udp(UdpCheck {
                send: b"ping".as_slice().into(),
                expect: expect.into(),
            })
        };
        for (expect, answer, healthy) in [
            (b"".as_slice(), b"".as_slice(), true),
            (b"pong", b"a pong it is", true),
            (b"pong", b"no", false),
        ] {
            let (mut prober, mut reports) = prober();
            prober.apply(vec![target(&addr, spec(check(expect)))]);
            let mut buf = [0; 16];
            let (len, from) = server.recv_from(&mut buf).await.unwrap();
            assert_eq!(&buf[..len], b"ping");
            server.send_to(answer, from).await.unwrap();
            let failure = reports.recv().await.unwrap().failure;
            assert_eq!(failure.is_none(), healthy, "{failure:?}");
        }
        drop(server);
        let (mut prober, mut reports) = prober();
        prober.apply(vec![target(&addr, spec(check(b"")))]);
        let failure = reports.recv().await.unwrap().failure.unwrap();
        assert!(failure.contains("refused"), "{failure}");
    });
}

/// What we have not got ourselves says nothing of an endpoint, neither good nor bad.
#[test]
fn a_probe_that_has_no_source_says_nothing() {
    run(|| async {
        let origin = Origin::start(OK).await;
        let raw = toml::from_str("source = '192.0.2.1'").unwrap();
        let mut diagnostics = crate::config::Diagnostics::default();
        let source = crate::net::Source::compile(&raw, &mut diagnostics);
        for initial in [Status::Healthy, Status::Unhealthy] {
            let mut spec = spec(Check::Http(http()));
            spec.policy.initial = initial;
            let mut target = target(&origin.addr, spec);
            target.at.socket.source = source.clone();
            let cell = Arc::clone(&target.cell);
            let (mut prober, mut reports) = prober();
            prober.apply(vec![target]);
            for _ in 0..5 {
                let seen = reports.recv().await.unwrap();
                assert!(seen.failure.is_some() && seen.transition.is_none());
            }
            assert_eq!(cell.status(), initial);
            assert!(cell.last_probe().unwrap().failure.is_some());
        }
        assert!(origin.heads.borrow().is_empty());
    });
}

#[test]
fn unix_sockets_are_probed_too() {
    run(|| async {
        let path = std::env::temp_dir().join(format!("tidegate-probe-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let (mut prober, mut reports) = prober();
        let addr = EndpointAddr::Unix(path.clone());
        prober.apply(vec![target(&addr, spec(Check::Http(http())))]);
        let (stream, _) = listener.accept().await.unwrap();
        let heads = RefCell::default();
        serve(stream, OK, &heads).await;
        assert!(reports.recv().await.unwrap().failure.is_none());
        assert!(heads.borrow()[0].contains("host: localhost\r\n"));
        std::fs::remove_file(path).unwrap();
    });
}
