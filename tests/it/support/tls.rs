//! Certificates of a test's own, and clients that look closely at what they are shown.

use super::DEADLINE;
use super::dir::Dir;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyPair, KeyUsagePurpose, RevokedCertParams,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_hours(24);

/// Who signs the certificates of a test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, its chain and its key, in PEM.
pub struct Issued {
    pub chain: String,
    pub key: String,
}

/// What an authority says of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Good,
    Revoked,
}

/// What kind of key a certificate has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Ecdsa,
    Rsa,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, Kind::Ecdsa, |_| {})
    }

    /// The same with a key of this kind and whatever else `change` wants of it.
    pub fn issue_with(
        &self,
        names: &[&str],
        kind: Kind,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let common = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common);
        change(&mut params);
        let key = match kind {
            Kind::Ecdsa => KeyPair::generate(),
            Kind::Rsa => KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256),
        };
        let key = key.expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A list that revokes the certificates with these serial numbers.
    pub fn revoke(&self, serials: &[u64]) -> String {
        self.revoke_in(serials, 0)
    }

    /// The same as it was written so many days ago, which was good for two.
    pub fn revoke_in(&self, serials: &[u64], ago: u32) -> String {
        let now = SystemTime::now() - DAY * ago;
        let revoked = serials.iter().map(|&serial| RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: (now - DAY).into(),
            next_update: (now + DAY).into(),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.0).expect("a list");
        list.pem().expect("PEM")
    }

    /// What this authority answers on a certificate (OCSP), good in these days, counted from now.
    pub fn answer(&self, issued: &Issued, standing: Standing, days: Range<i32>) -> Vec<u8> {
        let dir = Dir::new();
        let put = |name: &str, text: &str| {
            let path = dir.file(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let (ca, key) = (
            put("ca.pem", &self.pem()),
            put("ca.key", &self.0.key().serialize_pem()),
        );
        let one = put("one.pem", &issued.chain);
        let (request, response) = (put("request", ""), put("response", ""));
        let told = |arguments: &[&str]| {
            let when = format!("{:+} days", days.start);
            let output = run("faketime", &[&[&when, "openssl"], arguments].concat(), "");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{error}");
            String::from_utf8(output.stdout).expect("a text")
        };
        let serial = told(&["x509", "-in", &one, "-noout", "-serial"]);
        let serial = serial.trim().trim_start_matches("serial=");
        let index = match standing {
            Standing::Good => format!("V\t400101000000Z\t\t{serial}\tunknown\t/CN=one\n"),
            Standing::Revoked => {
                format!("R\t400101000000Z\t200101000000Z\t{serial}\tunknown\t/CN=one\n")
            }
        };
        let index = put("index", &index);
        let ask = ["ocsp", "-no_nonce", "-issuer", &ca, "-cert", &one];
        told(&[&ask[..], &["-reqout", &request]].concat());
        let say = ["ocsp", "-index", &index, "-CA", &ca, "-rsigner", &ca];
        let with = ["-rkey", &key, "-reqin", &request, "-respout", &response];
        let good_for = days.len().to_string();
        told(&[&say[..], &with, &["-ndays", &good_for]].concat());
        std::fs::read(response).expect("an answer")
    }

    /// What a client trusts that trusts this authority alone.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts this authority alone and shows a certificate where it is asked for one.
    pub fn client_with(&self, own: &Issued) -> ClientConfig {
        let chain = CertificateDer::pem_slice_iter(own.chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("a chain");
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots())
            .with_client_auth_cert(chain, key)
            .expect("a client")
    }

    /// A client that trusts this authority alone.
    pub fn client(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }
}

pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Issued {
    /// As a client or a server shows it.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("a chain");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        Arc::new(CertifiedKey::from_der(chain, key, &provider()).expect("a pair"))
    }

    /// Writes both files beside each other, with their endings.
    pub fn write_at(&self, stem: &std::path::Path) {
        replace(&stem.with_extension("key"), &self.key);
        replace(&stem.with_extension("pem"), &self.chain);
    }

    /// Writes both files; the entry of `certificates` that names them.
    pub fn write(&self, dir: &Dir, name: &str) -> String {
        let (chain, key) = (
            dir.file(&format!("{name}.pem")),
            dir.file(&format!("{name}.key")),
        );
        replace(&chain, &self.chain);
        replace(&key, &self.key);
        format!(
            "{{ certificate = \"{}\", key = \"{}\" }}",
            chain.display(),
            key.display()
        )
    }
}

/// Puts a text in a file's place, whole or not at all.
pub fn replace(path: &PathBuf, text: &str) {
    let part = path.with_extension("part");
    std::fs::write(&part, text).expect("a file");
    std::fs::rename(part, path).expect("a file");
}

/// A client that takes whatever it is shown, and keeps what was stapled to it.
#[derive(Debug, Default)]
pub struct Any(Mutex<Vec<u8>>);

impl Any {
    pub fn stapled(&self) -> Vec<u8> {
        self.0.lock().expect("a lock").clone()
    }
}

impl rustls::client::danger::ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        stapled: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        *self.0.lock().expect("a lock") = stapled.to_vec();
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A TLS connection, as a client sees it.
pub type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Connects and makes the handshake.
pub fn connect(addr: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Secure> {
    let mut socket = TcpStream::connect_timeout(&addr, DEADLINE)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// The certificate that was shown.
pub fn shown(secure: &Secure) -> CertificateDer<'static> {
    let chain = secure.conn.peer_certificates().expect("a certificate");
    chain[0].clone().into_owned()
}

/// A request on a connection that is closed after it; all that comes, up to the `close_notify` that must be there.
pub fn ask(secure: &mut Secure, method: &str, path: &str, host: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    secure.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    secure
        .read_to_string(&mut answer)
        .expect("an answer and a close_notify");
    answer
}

/// The status of one GET on a connection of its own.
pub fn status(addr: SocketAddr, host: &str, config: &Arc<ClientConfig>) -> u16 {
    let mut secure = connect(addr, host, config).expect("a connection");
    let answer = ask(&mut secure, "GET", "/", host);
    let status = answer.get(9..12).expect("a status line");
    status.parse().expect("a status")
}

/// Runs a program to its end, with this for its input.
pub fn run(program: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} (scripts/tools.sh installs it): {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let fed = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
        // `openssl s_client` ends with its input: it has to stay open until the answer is there.
        stdin
    });
    let stdin = fed.join().expect("input");
    let output = child.wait_with_output().expect("output");
    drop(stdin);
    output
}
