//! What a head costs: read, and written again for the other side.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::http1::limits::ResponseLimits;
use tidegate::http1::request::{self, HeadLimits, Progress};
use tidegate::http1::response::{self, Persist};
use tidegate::http1::write::{self, Forwarding, ResponsePlan};
use tidegate::message::forwarded::{Headers, Trust};
use tidegate::message::{Edits, Method, RequestHead, Upgrade, Version};

const REQUEST: &[u8] = b"GET /catalog/items/42?colour=blue HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Cookie: session=3f8b1c2d4e5f60718293a4b5c6d7e8f9; theme=dark\r\n\
    Cache-Control: no-cache\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    server: origin\r\n\
    date: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    cache-control: max-age=60\r\n\
    etag: \"5f3a-1c\"\r\n\
    content-length: 128\r\n\r\n";

const LIMITS: HeadLimits = HeadLimits {
    request_line: 8192,
    headers: 32768,
    count: 100,
    name: 256,
    path: tidegate::message::path::Policy::DEFAULT,
    own: tidegate::message::forwarded::Proto::Http,
};

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request head");
    group.throughput(Throughput::Bytes(REQUEST.len() as u64));

    let mut head = RequestHead::default();
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            head.clear();
            matches!(
                request::parse(black_box(REQUEST), &LIMITS, &mut head),
                Ok(Progress::Complete(_))
            )
        });
    });

    let (forwarding, edits) = (
        Forwarding {
            trust: Trust::Stranger,
            peer: "192.0.2.7",
            client: std::net::IpAddr::from([192, 0, 2, 7]),
            scheme: "http",
            headers: Headers::default(),
            identity: &[],
            certificate: &[],
        },
        Edits::default(),
    );
    let mut out = Vec::with_capacity(4096);
    group.bench_function("write", |bencher| {
        bencher.iter(|| {
            out.clear();
            write::request(black_box(&head), &edits, &forwarding, &mut out);
            out.len()
        });
    });
    group.finish();
}

fn responses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response head");
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));

    let mut fields = Vec::with_capacity(64);
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let start = response::parse(
                black_box(RESPONSE),
                Method::Get,
                &ResponseLimits::DEFAULT,
                &mut fields,
            );
            matches!(start, Ok(Some(_)))
        });
    });

    let Ok(Some(start)) =
        response::parse(RESPONSE, Method::Get, &ResponseLimits::DEFAULT, &mut fields)
    else {
        return;
    };
    let head = start.head(RESPONSE, &fields);
    let plan = ResponsePlan {
        body: head.body,
        version: Version::Http11,
        persist: Persist::Reuse,
        switching: Upgrade::None,
    };
    let edits = Edits::default();
    let mut out = Vec::with_capacity(4096);
    group.bench_function("write", |bencher| {
        bencher.iter(|| {
            out.clear();
            write::response(black_box(&head), &edits, &plan, &mut out);
            out.len()
        });
    });
    group.finish();
}

criterion_group!(heads, requests, responses);
criterion_main!(heads);
