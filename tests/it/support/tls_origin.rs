//! TLS in front of an origin: what comes is decrypted and passed on, byte for byte.

use super::tls::provider;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What an origin saw of a handshake.
#[derive(Clone, Debug, Default)]
pub struct Shake {
    pub server_name: Option<String>,
    /// The certificate that the proxy showed, in DER.
    pub shown: Option<Vec<u8>>,
    pub resumed: bool,
    /// What was agreed to by ALPN.
    pub protocol: Option<String>,
}

/// A TLS front of an origin.
pub struct Front {
    addr: SocketAddr,
    shakes: Arc<Mutex<Vec<Shake>>>,
    failures: Arc<AtomicUsize>,
}

/// How a front ends a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Farewell {
    Said,
    /// Without `close_notify`.
    Unsaid,
}

impl Front {
    pub fn over(origin: SocketAddr, config: ServerConfig) -> Self {
        Self::ending(origin, config, Farewell::Said)
    }

    pub fn ending(origin: SocketAddr, config: ServerConfig, farewell: Farewell) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let this = Self {
            addr: listener.local_addr().expect("an address"),
            shakes: Arc::default(),
            failures: Arc::default(),
        };
        let config = Arc::new(config);
        let (shakes, failures) = (Arc::clone(&this.shakes), Arc::clone(&this.failures));
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let (config, shakes) = (Arc::clone(&config), Arc::clone(&shakes));
                let failures = Arc::clone(&failures);
                thread::spawn(move || {
                    if serve(socket, origin, &config, &shakes, farewell).is_err() {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        this
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn shakes(&self) -> Vec<Shake> {
        let shakes = self.shakes.lock();
        shakes.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    mut socket: TcpStream,
    origin: SocketAddr,
    config: &Arc<ServerConfig>,
    shakes: &Mutex<Vec<Shake>>,
    farewell: Farewell,
) -> std::io::Result<()> {
    let mut tls = ServerConnection::new(Arc::clone(config)).expect("a server");
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    let shown = tls.peer_certificates().and_then(|chain| chain.first());
    let shake = Shake {
        server_name: tls.server_name().map(str::to_owned),
        shown: shown.map(|der| der.to_vec()),
        resumed: tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        protocol: tls
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
    };
    let locked = shakes.lock();
    locked.unwrap_or_else(PoisonError::into_inner).push(shake);
    let mut plain = TcpStream::connect(origin)?;
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    plain.set_read_timeout(Some(Duration::from_millis(5)))?;
    let mut secure = StreamOwned::new(tls, socket);
    let mut buffer = vec![0; 16 << 10];
    loop {
        match secure.read(&mut buffer) {
            Ok(0) => plain.shutdown(Shutdown::Write)?,
            Ok(read) => plain.write_all(&buffer[..read])?,
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
        match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                secure.sock.set_read_timeout(None)?;
                secure.write_all(&buffer[..read])?;
                secure
                    .sock
                    .set_read_timeout(Some(Duration::from_millis(5)))?;
            }
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if farewell == Farewell::Said {
        secure.conn.send_close_notify();
        secure.flush()?;
    }
    secure.sock.shutdown(Shutdown::Both)
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A server that shows this certificate and asks for none.
pub fn server(issued: &super::tls::Issued) -> ServerConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
    let chain = chain.map(|der| der.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("PEM");
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate")
}

/// The same, for clients with a certificate of this authority alone.
pub fn strict_server(
    issued: &super::tls::Issued,
    authority: &super::tls::Authority,
) -> ServerConfig {
    let roots = Arc::new(authority.roots());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .expect("a verifier");
    let plain = server(issued);
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(plain.cert_resolver)
}
