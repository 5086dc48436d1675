//! How much of a message is taken: names, trailers, extensions, answers. Each limit by its default and by its key, at it and one
//! over it.

use crate::support::{Answer, Origin, Proxy, Response, Setup};

/// What is sent for one row: `n` is the size that counts.
type Request = fn(n: usize) -> String;

fn with_name(n: usize) -> String {
    let name = "n".repeat(n);
    format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: v\r\n\r\n")
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// A trailer section of so many bytes, in lines that the count does not mind.
fn with_trailers(n: usize) -> String {
    let value = "v".repeat(n - "etag: \r\n".len());
    post(&format!("1\r\nx\r\n0\r\netag: {value}\r\n\r\n"))
}

fn with_trailer_count(n: usize) -> String {
    post(&format!("0\r\n{}\r\n", "etag: v\r\n".repeat(n)))
}

fn with_extension(n: usize) -> String {
    post(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(n)))
}

/// In chunks of which none has more than 200.
fn with_extensions(n: usize) -> String {
    let mut body = String::new();
    let mut left = n;
    while left > 0 {
        let here = left.min(200);
        body.extend(["1;", &"e".repeat(here), "\r\nx\r\n"]);
        left -= here;
    }
    post(&(body + "0\r\n\r\n"))
}

fn ask(proxy: &Proxy, request: &str) -> Response {
    let mut client = proxy.client();
    client.send(request);
    client.response()
}

/// Key, value written, default, what counts, and the detail of what is over it.
const OF_REQUESTS: &[(&str, usize, usize, Request, &str)] = &[
    ("header_name", 40, 256, with_name, "field_name"),
    ("trailers", 100, 4 << 10, with_trailers, "trailers"),
    ("trailer_count", 3, 16, with_trailer_count, "trailers"),
    ("chunk_extension", 10, 256, with_extension, "chunk"),
    ("chunk_extensions", 1000, 16 << 10, with_extensions, "chunk"),
];

#[test]
fn requests_are_taken_up_to_their_limits() {
    let origin = Origin::plan().counts_only().start();
    let plain = Setup::over(&[origin.addr()]).start();
    for &(key, written, default, request, detail) in OF_REQUESTS {
        let value = match key {
            "trailer_count" => written.to_string(),
            _ => format!("\"{written}B\""),
        };
        let setup =
            Setup::over(&[origin.addr()]).listener(&format!("limits = {{ {key} = {value} }}"));
        let keyed = setup.start();
        for (proxy, limit) in [(&plain, default), (&keyed, written)] {
            ask(proxy, &request(limit)).is(200);
            let refused = ask(proxy, &request(limit + 1));
            assert_eq!(refused.status, 400, "{key}: {limit} + 1");
            proxy.wait_line("a refusal", |line| {
                line["status"] == 400 && line["detail"] == detail
            });
        }
        // More than the default can be allowed as well.
        if key == "chunk_extension" {
            let wide =
                Setup::over(&[origin.addr()]).listener("limits = { chunk_extension = \"1KiB\" }");
            ask(&wide.start(), &with_extension(1024)).is(200);
        }
    }
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}").into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    answer("Transfer-Encoding: chunked\r\n", body)
}

/// A head of exactly so many bytes.
fn head_of(n: usize) -> Vec<u8> {
    let rest = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx: \r\n\r\n".len();
    answer(
        &format!("Content-Length: 0\r\nx: {}\r\n", "v".repeat(n - rest)),
        "",
    )
}

fn fields_of(n: usize) -> Vec<u8> {
    answer(
        &format!("Content-Length: 0\r\n{}", "x: v\r\n".repeat(n - 1)),
        "",
    )
}

fn name_of(n: usize) -> Vec<u8> {
    answer(
        &format!("Content-Length: 0\r\n{}: v\r\n", "n".repeat(n)),
        "",
    )
}

fn interims_of(n: usize) -> Vec<u8> {
    let hint = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(n);
    let mut all = hint.into_bytes();
    all.extend(answer("Content-Length: 0\r\n", ""));
    all
}

fn extension_of(n: usize) -> Vec<u8> {
    chunked(&format!("0;{}\r\n\r\n", "e".repeat(n)))
}

fn trailers_of(n: usize) -> Vec<u8> {
    chunked(&format!("0\r\n{}\r\n", "etag: v\r\n".repeat(n)))
}

type Reply = fn(n: usize) -> Vec<u8>;

const OF_ANSWERS: &[(&str, usize, usize, Reply)] = &[
    ("headers", 300, 64 << 10, head_of),
    ("header_count", 3, 200, fields_of),
    ("header_name", 20, 256, name_of),
    ("interim", 2, 16, interims_of),
    ("chunk_extension", 10, 256, extension_of),
    ("trailer_count", 2, 16, trailers_of),
];

#[test]
fn answers_are_taken_up_to_their_limits() {
    for &(key, written, default, reply) in OF_ANSWERS {
        let origin = Origin::answering(move |request| {
            let n = request.target.trim_start_matches('/').parse().unwrap();
            Answer::raw(reply(n))
        });
        let value = match key {
            "header_count" | "interim" | "trailer_count" => written.to_string(),
            _ => format!("\"{written}B\""),
        };
        let off = "outlier = { max_ejected = 0 }\nretry = { attempts = 0 }";
        let plain = Setup::over_with(&[origin.addr()], off).start();
        let keys = format!("{off}\nlimits = {{ {key} = {value} }}");
        let keyed = Setup::over_with(&[origin.addr()], &keys).start();
        for (proxy, limit) in [(&plain, default), (&keyed, written)] {
            let taken = proxy.get(&format!("/{limit}"));
            assert_eq!(taken.status, 200, "{key}: {limit}");
            let refused = proxy.get(&format!("/{}", limit + 1));
            assert_eq!(refused.status, 502, "{key}: {limit} + 1");
            let line = proxy.wait_line("a refusal", |line| line["status"] == 502);
            assert_eq!(line["reason"], "upstream_protocol", "{key}");
        }
    }
}
