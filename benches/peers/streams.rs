//! Both ends of `benches/peers/l4.py`: a server and a load generator for byte streams and datagrams.
//!
//! `bench-streams serve PORT ANSWER` answers each 128 bytes of a connection with `ANSWER` bytes, and sends datagrams back as they came.
//! `bench-streams tcp PORT COUNT ANSWER SECONDS` and `bench-streams udp PORT COUNT SECONDS` have one question under way on each of
//! `COUNT` connections or flows, and print how many were answered, and how many were not.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool of the bench: what it counted is its output, and time is real"
)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const QUESTION: [u8; 128] = [b'q'; 128];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| -> io::Result<usize> {
        let found = arguments.get(at).and_then(|text| text.parse().ok());
        found.ok_or_else(|| io::Error::other(format!("no number at {at}")))
    };
    let port = |at: usize| number(at).map(|port| u16::try_from(port).unwrap_or(0));
    let seconds = |at: usize| number(at).map(|time| Duration::from_secs(time as u64));
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(port(1)?, number(2)?),
        Some("tcp") => tcp(port(1)?, number(2)?, number(3)?, seconds(4)?),
        Some("udp") => udp(port(1)?, number(2)?, seconds(3)?),
        _ => Err(io::Error::other("usage: bench-streams serve | tcp | udp …")),
    }
}

fn serve(port: u16, answer: usize) -> io::Result<()> {
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    std::thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok((len, peer)) = datagrams.recv_from(&mut buf) {
            let _ = datagrams.send_to(buf.get(..len).unwrap_or_default(), peer);
        }
    });
    for stream in TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        std::thread::spawn(move || {
            let (mut question, answer) = (QUESTION, vec![b'a'; answer]);
            while stream.read_exact(&mut question).is_ok() && stream.write_all(&answer).is_ok() {}
        });
    }
    Ok(())
}

fn tcp(port: u16, count: usize, answer: usize, time: Duration) -> io::Result<()> {
    let connect = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(stream)
    };
    let mut streams = (0..count)
        .map(|_| connect())
        .collect::<io::Result<Vec<_>>>()?;
    let mut buf = vec![0; answer];
    let (began, mut answered) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        for stream in &mut streams {
            stream.write_all(&QUESTION)?;
        }
        for stream in &mut streams {
            stream.read_exact(&mut buf)?;
            answered += 1;
        }
    }
    println!("{{\"answered\": {answered}, \"lost\": 0}}");
    Ok(())
}

fn udp(port: u16, count: usize, time: Duration) -> io::Result<()> {
    let connect = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        Ok(socket)
    };
    let sockets = (0..count)
        .map(|_| connect())
        .collect::<io::Result<Vec<_>>>()?;
    let mut buf = [0; 256];
    let (began, mut answered, mut lost) = (Instant::now(), 0_u64, 0_u64);
    while began.elapsed() < time {
        for socket in &sockets {
            socket.send(&QUESTION)?;
        }
        for socket in &sockets {
            match socket.recv(&mut buf) {
                Ok(_) => answered += 1,
                Err(_) => lost += 1,
            }
        }
    }
    println!("{{\"answered\": {answered}, \"lost\": {lost}}}");
    Ok(())
}
