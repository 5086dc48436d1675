//! `tidegate explain`: what would become of a request, from the file alone.

use crate::support::dir::Dir;
use crate::support::proxy::binary;
use serde_json::{Value, json};

const FILE: &str = r#"
[[listeners]]
name = "web"
bind = ["127.0.0.1:8080"]
protocol = "http"
trusted_proxies = ["10.0.0.0/8"]

[[listeners]]
name = "inside"
bind = ["127.0.0.1:8081"]
protocol = "http"

[[routes]]
name = "api"
hosts = ["*.example.com"]
path_prefix = "/v1"
methods = ["GET"]
filters = [{ request_headers = { set = { "x-a" = "b" } } }]
cluster = "app"

[[routes]]
name = "office"
clients = ["192.0.2.0/24"]
listeners = ["web"]
path = "/office"
respond = { status = 204 }

[[routes]]
name = "rest"
hosts = ["www.example.com"]
redirect = { status = 308, host = "example.com" }

[[routes]]
name = "canary"
hosts = ["canary.example.com"]
split = [{ cluster = "app", weight = 9 }, { cluster = "next", weight = 1 }]

[clusters.next]
endpoints = ["127.0.0.1:9005"]

[clusters.app]
balancer = "round_robin"
endpoints = [
  { address = "127.0.0.1:9001", weight = 3 },
  "127.0.0.1:9002",
  { address = "127.0.0.1:9003", state = "drain" },
  { address = "127.0.0.1:9004", backup = true },
  "app.invalid:80",
]
"#;

fn explain(args: &[&str]) -> (i32, String, String) {
    let dir = Dir::new();
    let file = dir.file("tidegate.toml");
    std::fs::write(&file, FILE).unwrap();
    let mut command = binary();
    command.args(["explain", "-c"]).arg(&file).args(args);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn told(args: &[&str]) -> Value {
    let (code, out, said) = explain(&[args, &["--json"]].concat());
    assert_eq!(code, 0, "{said}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn candidates_are_shown_with_their_shares_or_why_they_have_none() {
    let found = told(&["--request", "GET http://api.example.com:8080/v1/x"]);
    assert_eq!(
        (&found["listener"], &found["route"]),
        (&"web".into(), &"api".into())
    );
    assert_eq!(found["filters"], json!(["request_headers"]));
    let cluster = &found["action"]["cluster"];
    let endpoints = cluster["endpoints"].as_array().unwrap();
    let shares: Vec<_> = endpoints.iter().map(|one| one["share"].as_f64()).collect();
    assert_eq!(shares, [Some(0.75), Some(0.25), None, None]);
    assert_eq!(endpoints[2]["left_out"], "the file says that it drains");
    assert_eq!(
        endpoints[3]["left_out"],
        "a lower tier has an available endpoint"
    );
    assert_eq!(cluster["names"], json!(["app.invalid"]));
    let choice = cluster["choice"].as_str().unwrap();
    assert!(
        ["127.0.0.1:9001", "127.0.0.1:9002"].contains(&choice),
        "{choice}"
    );
    let why = |route: &str| {
        let others = found["other_routes"].as_array().unwrap();
        let other = others.iter().find(|other| other["route"] == route).unwrap();
        other["why"].as_str().unwrap().to_owned()
    };
    assert_eq!(why("office"), "it is for other paths");
    assert_eq!(why("rest"), "it is for other hosts");
}

#[test]
fn routes_answer_as_the_request_and_its_client_say() {
    let office = ["--request", "http://a/office"];
    let found = told(&[&office[..], &["--client", "192.0.2.7"]].concat());
    assert_eq!(found["action"], json!({ "respond": { "status": 204 } }));
    let behind = [
        "--client",
        "10.0.0.1",
        "--header",
        "X-Forwarded-For: 192.0.2.7",
    ];
    let found = told(&[&office[..], &behind].concat());
    assert_eq!(
        (&found["client"], &found["route"]),
        (&"192.0.2.7".into(), &"office".into())
    );
    let found = told(
        &[
            &office[..],
            &["--listener", "inside", "--client", "192.0.2.7"],
        ]
        .concat(),
    );
    assert_eq!(found["refused"]["reason"], "no_route");
    assert_eq!(found["other_routes"][1]["why"], "it serves other listeners");
    let found = told(&["--request", "POST http://www.example.com/v1"]);
    let redirect = json!({ "status": 308, "location": "http://example.com/v1" });
    assert_eq!(found["action"], json!({ "redirect": redirect }));
    assert_eq!(found["other_routes"][0]["why"], "it is for other methods");
    let found = told(&["--request", "GET http://a/%00"]);
    assert_eq!(
        (&found["refused"]["status"], &found["refused"]["detail"]),
        (&400.into(), &"path".into())
    );
}

#[test]
fn a_split_is_told_with_its_shares() {
    let found = told(&["--request", "GET http://canary.example.com/x"]);
    assert_eq!(found["action"]["split"], json!({ "app": 0.9, "next": 0.1 }));
    let drawn = &found["action"]["cluster"]["name"];
    assert!(drawn == "app" || drawn == "next", "{drawn}");
}

#[test]
fn people_get_lines_and_nonsense_is_refused() {
    let (code, out, said) = explain(&[
        "--request",
        "GET http://api.example.com/v1",
        "--client",
        "192.0.2.1",
    ]);
    assert_eq!((code, &*said), (0, ""));
    for line in [
        "request   GET http://api.example.com/v1 from 192.0.2.1\n",
        "route     api\n",
        "cluster   app (round_robin)\n",
        "          127.0.0.1:9001  weight 3  tier 0  75 % of picks\n",
        "          127.0.0.1:9003  weight 1  tier 0  left out: the file says that it drains\n",
        "not       office: it is for other paths\n",
    ] {
        assert!(out.contains(line), "{line}{out}");
    }
    let (code, out, said) = explain(&["--request", "GET ftp://a/"]);
    assert_eq!((code, &*out), (2, ""));
    assert!(
        said.contains("a request is `GET https://host/path`"),
        "{said}"
    );
    let (code, _, said) = explain(&["--request", "http://a/", "--listener", "none"]);
    assert_eq!(code, 2);
    assert!(said.contains("no listener `none`"), "{said}");
}
