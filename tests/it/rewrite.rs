//! Other paths and hosts towards the endpoint, values with variables, request ids, security fields.

use crate::support::{Answer, Origin, Proxy, Setup};

fn over(origin: &Origin, keys: &str, filters: &str) -> Proxy {
    Setup::over(&[origin.addr()])
        .without_routes()
        .route(
            "all",
            &format!("cluster = \"app\"\n{keys}\nfilters = [{filters}]"),
        )
        .start()
}

/// What the endpoint gets for each target.
fn targets(origin: &Origin, proxy: &Proxy, asked: &[(&str, &str)]) {
    for (count, (target, expected)) in (1..).zip(asked) {
        let mut client = proxy.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(origin.wait(count).target, *expected, "{target}");
    }
}

#[test]
fn a_prefix_gives_way_by_segments() {
    let origin = Origin::start();
    let proxy = over(
        &origin,
        "path_prefix = \"/v1\"",
        "{ rewrite = { prefix = \"/\" } }",
    );
    targets(
        &origin,
        &proxy,
        &[
            ("/v1/x?q=1", "/x?q=1"),
            ("/v1", "/"),
            ("/v1/", "/"),
            ("/v1?q", "/?q"),
            ("/v1//x", "//x"),
            ("/v1/a/../x%2Fy", "/x%2Fy"),
            ("/v1/%0d%0aX:y", "/%0D%0AX:y"),
        ],
    );
    let line = proxy.wait_line("the first", |line| line["query"] == "q=1");
    assert_eq!(line["path"], "/v1/x", "the log has what was asked for");
}

#[test]
fn an_expression_gives_way_wherever_it_is_found() {
    let origin = Origin::start();
    let proxy = over(
        &origin,
        "",
        "{ rewrite = { path_regex = \"^/user/([0-9]+)/(?P<rest>.*)$\", replacement = \"/${rest}/by/$1\" } },\
         { rewrite = { path_regex = \"--+\", replacement = \"-\" } }",
    );
    targets(
        &origin,
        &proxy,
        &[
            ("/user/7/cart?x=--", "/cart/by/7?x=--"),
            ("/user/x/cart", "/user/x/cart"),
            ("/a--b---c", "/a-b-c"),
            // What comes out is made canonical again: no segment climbs.
            ("/user/7/..%2e", "/.../by/7"),
        ],
    );
}

#[test]
fn what_comes_out_as_no_path_is_refused() {
    let origin = Origin::start();
    let proxy = over(
        &origin,
        "",
        "{ rewrite = { path_regex = \"^/cut/\", replacement = \"\" } }",
    );
    assert_eq!(proxy.get("/cut/x").status, 400);
    let line = proxy.wait_line("the refusal", |line| line["status"] == 400);
    assert_eq!(
        (&line["reason"], &line["detail"]),
        (&"bad_request".into(), &"path".into())
    );
    assert_eq!(origin.count(), 0);
    assert_eq!(proxy.get("/x/cut/").status, 200);
}

#[test]
fn the_whole_path_and_the_host_give_way() {
    let origin = Origin::start();
    let proxy = over(
        &origin,
        "",
        "{ rewrite = { path = \"/one\", host = \"Inner.example:8080\" } }",
    );
    targets(&origin, &proxy, &[("/x/y?q", "/one?q")]);
    let seen = origin.wait(1);
    assert_eq!(seen.one("host"), Some("inner.example:8080"));
    assert_eq!(seen.one("x-forwarded-host"), Some("a.example"));
}

#[test]
fn values_have_variables_and_lists_grow() {
    let origin = Origin::answering(|_| Answer::ok("x").field("X-Seen", "1").field("X-Seen", "2"));
    let proxy = over(
        &origin,
        "",
        "{ request_headers = { set = { x-who = \"${client_ip} ${method} ${path}?${query}\", x-plan = \"${header:x-none}\" }, \
         append = { via-list = \"${listener}\" } } },\
         { response_headers = { set = { x-what = \"${status} ${route} ${cluster} ${host}\" }, append = { x-seen = \"3\" } } }",
    );
    let mut client = proxy.client();
    client.send(
        "GET /a%0d%0ab?c%0d HTTP/1.1\r\nHost: A.example:80\r\nX-Plan: forged\r\nVia-List: x\r\nvia-list: y\r\n\r\n",
    );
    let response = client.response();
    assert_eq!(response.one("x-what"), Some("200 all app a.example"));
    assert_eq!(response.one("x-seen"), Some("1, 2, 3"));
    let seen = origin.wait(1);
    assert_eq!(
        seen.one("x-who"),
        Some("127.0.0.1 GET /a%0D%0Ab?c%0d"),
        "what was encoded stays encoded (E-040)"
    );
    assert!(!seen.head.has("x-plan"));
    assert_eq!(seen.one("via-list"), Some("x, y, web"));
}

#[test]
fn the_name_of_an_exchange_is_told_and_kept_from_trusted_proxies() {
    let origin = Origin::start();
    let setup = |listener: &str| {
        Setup::over(&[origin.addr()])
            .without_routes()
            .listener(listener)
            .route(
                "all",
                "cluster = \"app\"\nfilters = [{ request_id = { response = \"send\" } }]",
            )
            .start()
    };
    let ask = |proxy: &Proxy| {
        let mut client = proxy.client();
        client.send(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: edge-1\r\nX_Request_Id: evil\r\n\r\n",
        );
        client.response().one("x-request-id").unwrap().to_owned()
    };
    let proxy = setup("");
    let told = ask(&proxy);
    assert_eq!(told.len(), 36);
    assert_eq!(&told[14..15], "7", "{told}");
    let seen = origin.wait(1);
    assert_eq!(seen.head.all("x-request-id").collect::<Vec<_>>(), [&told]);
    assert!(!seen.head.has("x_request_id"));
    assert_eq!(proxy.wait_log(1)[0]["request_id"], *told);

    let proxy = setup("trusted_proxies = [\"127.0.0.0/8\"]");
    assert_eq!(ask(&proxy), "edge-1");
    assert_eq!(origin.wait(2).one("x-request-id"), Some("edge-1"));
    assert_eq!(proxy.wait_log(1)[0]["request_id"], "edge-1");
}

#[test]
fn browsers_are_told_to_be_careful() {
    let origin = Origin::answering(|_| {
        Answer::ok("x")
            .field("Server", "secret/1.0")
            .field("X-Frame-Options", "SAMEORIGIN")
    });
    let proxy = Setup::over(&[origin.addr()])
        .without_routes()
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .route("all", "cluster = \"app\"\nfilters = [\"security_headers\"]")
        .start();
    let ask = |scheme: &str| {
        let mut client = proxy.client();
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {scheme}\r\n\r\n"
        ));
        client.response()
    };
    let plain = ask("http");
    assert_eq!(plain.one("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(plain.one("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        plain.one("referrer-policy"),
        Some("strict-origin-when-cross-origin")
    );
    assert!(!plain.head.has("server") && !plain.head.has("strict-transport-security"));
    let secure = ask("https");
    assert_eq!(
        secure.one("strict-transport-security"),
        Some("max-age=31536000")
    );
}
