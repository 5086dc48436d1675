//! Who is admitted: by address, by method, by the size of its head.

use crate::support::{Origin, Proxy, Response, Setup, eventually};

fn over(origin: &Origin, listener: &str, keys: &str) -> Setup {
    Setup::over(&[origin.addr()])
        .without_routes()
        .listener(listener)
        .route("all", &format!("cluster = \"app\"\n{keys}"))
}

fn ask(proxy: &Proxy, method: &str, fields: &str) -> Response {
    let mut client = proxy.client();
    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    client.response_to(method)
}

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

#[test]
fn addresses_are_admitted_and_refused() {
    let origin = Origin::start();
    let access = "filters = [{ ip_access = { allow = [\"10.0.0.0/8\", \"2001:db8::/32\"], deny = [\"10.9.0.0/16\"] } }]";
    let proxy = over(&origin, TRUSTED, access).start();
    for (client, status) in [
        ("10.1.2.3", 200),
        ("10.9.2.3", 403),
        ("11.0.0.1", 403),
        ("2001:db8::1", 200),
        ("::ffff:10.1.2.3", 200),
        ("::ffff:10.9.2.3", 403),
    ] {
        let got = ask(&proxy, "GET", &format!("X-Forwarded-For: {client}\r\n"));
        assert_eq!(got.status, status, "{client}");
    }
    assert_eq!(origin.count(), 3);
    let refused = proxy.wait_line("a refusal", |line| line["status"] == 403);
    assert_eq!(
        (&refused["reason"], &refused["detail"]),
        (&"denied".into(), &"address".into())
    );
}

/// A list of a hundred thousand is followed like the configuration; one that is wrong changes nothing.
#[test]
fn a_list_in_a_file_is_watched() {
    let origin = Origin::start();
    let setup = over(
        &origin,
        TRUSTED,
        "filters = [{ ip_access = { deny_file = \"deny.txt\" } }]",
    );
    let list = setup.dir.file("deny.txt");
    let many: Vec<String> = (0..100_000_u32)
        .map(|at| format!("20.{}.{}.{}\n", at >> 15, at >> 7 & 255, at << 1 & 255))
        .collect();
    let many = many.concat();
    std::fs::write(
        &list,
        format!("# bad ones\n{many}198.51.100.0/24 # a whole one\n"),
    )
    .unwrap();
    let proxy = setup.start();
    let status =
        |client: &str| ask(&proxy, "GET", &format!("X-Forwarded-For: {client}\r\n")).status;
    assert_eq!((status("198.51.100.7"), status("20.0.0.2")), (403, 403));
    assert_eq!((status("203.0.113.7"), status("20.0.0.3")), (200, 200));

    std::fs::write(&list, "203.0.113.0/24\n").unwrap();
    eventually("the new list holds", || {
        (status("203.0.113.7") == 403).then_some(())
    });
    assert_eq!(status("198.51.100.7"), 200);

    std::fs::write(&list, "203.0.113.0/24\n198.51.100\n").unwrap();
    proxy.wait_output("line 2 of");
    assert_eq!((status("203.0.113.7"), status("198.51.100.7")), (403, 200));
    std::fs::write(&list, "198.51.100.0/24\n").unwrap();
    eventually("a good list holds again", || {
        (status("198.51.100.7") == 403).then_some(())
    });
}

#[test]
fn methods_are_refused_with_what_is_served() {
    let origin = Origin::start();
    let access = "filters = [{ method_access = { allow = [\"GET\", \"HEAD\", \"PURGE\"] } }]";
    let proxy = over(&origin, "", access).start();
    for (method, status) in [("GET", 200), ("PURGE", 200), ("POST", 405), ("get", 405)] {
        let got = ask(&proxy, method, "Content-Length: 0\r\n");
        assert_eq!(got.status, status, "{method}");
        let allow = (status == 405).then_some("GET, HEAD, PURGE");
        assert_eq!(got.one("allow"), allow, "{method}");
    }
    let refused = proxy.wait_line("a refusal", |line| line["status"] == 405);
    assert_eq!(
        (&refused["reason"], &refused["detail"]),
        (&"denied".into(), &"not_allowed".into())
    );
}

#[test]
fn a_route_may_ask_for_smaller_heads() {
    let origin = Origin::start();
    let proxy = over(
        &origin,
        "",
        "limits = { headers = \"100B\", header_count = 3 }",
    )
    .start();
    let fields = |length: usize| format!("X: {}\r\n", "x".repeat(length));
    // "Host: a" takes 9 bytes, name and line of the other 5.
    assert_eq!(ask(&proxy, "GET", &fields(86)).status, 200);
    assert_eq!(ask(&proxy, "GET", &fields(87)).status, 431);
    assert_eq!(ask(&proxy, "GET", "A: 1\r\nB: 2\r\n").status, 200);
    assert_eq!(ask(&proxy, "GET", "A: 1\r\nB: 2\r\nC: 3\r\n").status, 431);
    let refused = proxy.wait_line("a refusal", |line| line["status"] == 431);
    assert_eq!(refused["reason"], "headers_too_large");
    assert_eq!(origin.count(), 2);
}
