//! Who is answered, and who is not.

use super::*;

#[test]
fn strangers_are_turned_away_before_anything_is_done() {
    let never = || panic!("a refused order was carried out");
    with_admin(&loopback(), Some(TOKEN), never, |rig| async move {
        for (line, fields, expected) in [
            ("GET /metrics", "Host: evil.example\r\n", 421),
            ("GET http://evil.example/metrics", "", 421),
            ("GET /api/v1/status", "Origin: http://evil.example\r\n", 403),
            ("POST /api/v1/reload", "Origin: null\r\n", 403),
            ("POST /api/v1/reload", "", 401),
            (
                "POST /api/v1/reload",
                "Authorization: Bearer wrong\r\n",
                401,
            ),
            ("GET /api/v1/reload", "", 405),
            ("GET /nothing", "", 404),
        ] {
            let answer = rig.ask(line, fields).await;
            assert_eq!(answer.status, expected, "{line} {fields}");
            assert!(
                answer.head.contains("x-content-type-options: nosniff"),
                "{line}"
            );
        }
    });
    with_admin(&loopback(), Some(TOKEN), applied, |rig| async move {
        let field = format!("Authorization: Bearer {TOKEN}\r\n");
        assert_eq!(rig.ask("POST /api/v1/reload", &field).await.status, 200);
    });
}

#[test]
fn a_unix_socket_needs_no_token() {
    let path = std::env::temp_dir().join(format!("tg-admin-{}-serve", std::process::id()));
    let bind = ListenAddr::Unix(path.clone());
    with_admin(&bind, Some(TOKEN), applied, |_| async move {
        let stream = UnixStream::connect(&path).await.unwrap();
        let request = "POST /api/v1/reload HTTP/1.1\r\nHost: anything\r\n\r\n";
        assert_eq!(exchange(stream, request).await.status, 200);
    });
}

#[test]
fn silent_clients_do_not_keep_others_out() {
    let limits = Limits {
        connections: 2,
        head: Duration::from_millis(300),
        ..Limits::DEFAULT
    };
    with_limits(limits, &loopback(), None, applied, |rig| async move {
        let mut silent = Vec::new();
        for _ in 0..2 {
            silent.push(TcpStream::connect(rig.tcp()).await.unwrap());
        }
        assert_eq!(rig.ask("GET /live", "").await.status, 200);
        drop(silent);
    });
}
