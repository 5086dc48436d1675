//! What an operator has taken out of service.

use crate::support::{Origin, Proxy, Reload, Setup, ports};
use serde_json::json;

const ALL: &str = "/api/v1/maintenance";
const SHOP: &str = "/api/v1/maintenance/routes/shop";
const WEB: &str = "/api/v1/maintenance/listeners/web";

fn setup(app: &Origin) -> Setup {
    Setup::over(&[app.addr()])
        .without_routes()
        .listener("error_pages = \"site\"\ntrusted_proxies = [\"127.0.0.1\"]")
        .route("shop", "path_prefix = \"/shop\"\ncluster = \"app\"")
        .route("api", "path_prefix = \"/api\"\ncluster = \"app\"")
        .tail("[error_pages.site]\npages = [{ status = [503], text = \"back soon: ${reason}\" }]\n")
}

fn from(proxy: &Proxy, client: &str, path: &str) -> (u16, Option<String>) {
    let mut of_proxy = proxy.client();
    of_proxy.send(format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n"
    ));
    let response = of_proxy.response();
    (
        response.status,
        response.one("retry-after").map(str::to_owned),
    )
}

#[test]
fn a_route_is_out_of_service_for_all_but_some() {
    let app = Origin::start();
    let proxy = setup(&app).start();
    proxy.get("/shop").is(200);
    let order = json!({ "retry_after": "5m", "allow": ["10.0.0.0/8", "192.0.2.7"] });
    let (status, told) = proxy.order("PUT", SHOP, &order.to_string());
    let word = json!([{
        "scope": "route", "name": "shop", "retry_after_seconds": 300.0, "allow": ["10.0.0.0/8", "192.0.2.7/32"],
    }]);
    assert_eq!((status, &told), (200, &word));
    let closed = proxy.get("/shop/cart");
    closed.is(503);
    assert_eq!(closed.one("retry-after"), Some("300"));
    assert_eq!(closed.text(), "back soon: maintenance");
    let line = proxy.wait_line("the refusal", |line| line["status"] == 503);
    assert_eq!(
        (&line["reason"], &line["route"]),
        (&"maintenance".into(), &"shop".into())
    );
    let again = Some("300".to_owned());
    assert_eq!(from(&proxy, "192.0.2.8", "/shop"), (503, again));
    assert_eq!(from(&proxy, "192.0.2.7", "/shop"), (200, None));
    assert_eq!(from(&proxy, "10.1.2.3", "/shop"), (200, None));
    proxy.get("/api").is(200);
    let count = app.count();

    // A call hears its status.
    let mut client = proxy.client();
    client.send("POST /shop HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().one("grpc-status"), Some("14"));

    // It outlives a reload, is shown, and counted.
    let next = setup(&app).at(proxy.setup());
    let next = next.route("more", "path = \"/more\"\ncluster = \"app\"");
    assert_eq!(proxy.reload(&next), Reload::Done);
    proxy.get("/shop").is(503);
    assert_eq!(proxy.status()["maintenance"], word);
    let labels = [("scope", "route"), ("name", "shop")];
    assert_eq!(proxy.metric("tidegate_maintenance_active", &labels), 1.0);
    let labels = [("route", "shop"), ("reason", "maintenance")];
    assert_eq!(
        proxy.metric("tidegate_request_terminations_total", &labels),
        4.0
    );
    assert_eq!(app.count(), count, "no endpoint heard of it");

    assert_eq!(proxy.order("DELETE", SHOP, "").1, json!([]));
    proxy.get("/shop").is(200);
    proxy.wait_output("maintenance switched on");
    proxy.wait_output("maintenance switched off");
}

#[test]
fn a_listener_or_all_of_it_can_be_out_of_service() {
    let app = Origin::start();
    let proxy = setup(&app).start();
    proxy.get("/nowhere").is(404);
    for path in [ALL, WEB] {
        assert_eq!(proxy.order("PUT", path, "").0, 200);
        assert_eq!(
            from(&proxy, "192.0.2.1", "/api"),
            (503, Some("60".to_owned()))
        );
        proxy.get("/nowhere").is(503);
        assert_eq!(
            proxy
                .order(
                    "PUT",
                    path,
                    "{\"ttl\":\"1h\",\"allow\":[\"::ffff:192.0.2.1\"]}"
                )
                .0,
            200
        );
        assert_eq!(from(&proxy, "192.0.2.1", "/api").0, 200);
        proxy.get("/api").is(503);
        assert_eq!(proxy.order("DELETE", path, "").0, 200);
        proxy.get("/api").is(200);
    }
    // One that has run out has never been.
    assert_eq!(proxy.order("PUT", ALL, "{\"ttl\":\"1ms\"}").0, 200);
    crate::support::eventually("its end", || {
        (proxy.get("/api").status == 200).then_some(())
    });
    assert_eq!(proxy.order("GET", ALL, "").1, json!([]));
}

#[test]
fn wrong_orders_are_refused() {
    let app = Origin::start();
    let raw = format!(
        "[[listeners]]\nname = \"raw\"\nbind = [\"{}\"]\nprotocol = \"tcp\"\ncluster = \"app\"\n",
        ports::free()
    );
    let proxy = setup(&app).tail(&raw).start();
    for (method, path, body, status) in [
        ("PUT", "/api/v1/maintenance/routes/none", "", 404),
        ("PUT", "/api/v1/maintenance/listeners/shop", "", 404),
        ("PUT", "/api/v1/maintenance/clusters/app", "", 404),
        ("PUT", SHOP, "{\"allow\":[\"10.0.0.0/99\"]}", 422),
        ("PUT", SHOP, "{\"ttl\":\"0s\"}", 422),
        ("PUT", SHOP, "{\"until\":\"1h\"}", 422),
        ("PUT", SHOP, "[", 422),
        ("POST", ALL, "", 405),
        ("DELETE", "/api/v1/maintenance/routes/none", "", 200),
    ] {
        assert_eq!(
            proxy.order(method, path, body).0,
            status,
            "{method} {path} {body}"
        );
    }
    let (status, told) = proxy.order("PUT", "/api/v1/maintenance/listeners/raw", "");
    assert_eq!(status, 422, "there are no requests to refuse");
    assert!(told.to_string().contains("does not speak http"), "{told}");
    assert_eq!(proxy.order("GET", ALL, "").1, json!([]));
    proxy.get("/shop").is(200);
}
