//! What a token must be to let somebody in.

mod cache;
mod keys;
mod tokens;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

/// What a filter does with a token that it does not remember.
fn verify(token: &[u8], keys: &KeySet, policy: &Policy, now: Duration) -> Result<Claims, Fault> {
    let opened = open(token, keys, policy)?;
    opened.holds(policy, now).map(|()| opened.told)
}

const NOW: Duration = Duration::from_secs(1_790_000_000);
const SECRET: &[u8] = &[7; 64];

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Somebody who signs, and the key that tells it.
struct Signer {
    key: Value,
    sign: Sign,
}

fn curve(id: &str, name: &str, with: &'static EcdsaSigningAlgorithm, size: usize) -> Signer {
    let pair = EcdsaKeyPair::generate(with).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    Signer {
        key: json!({"kty": "EC", "kid": id, "crv": name, "x": encoded(&point[..size]), "y": encoded(&point[size..])}),
        sign: Box::new(move |message| {
            let made = pair.sign(&SystemRandom::new(), message).unwrap();
            made.as_ref().to_vec()
        }),
    }
}

/// Modulus and exponent of a key of 2048 bits, out of its DER (RFC 8017, A.1.1).
fn numbers(pair: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
    let der = pair.public_key().as_ref();
    (der[9..265].to_vec(), der[267..].to_vec())
}

fn rsa(pair: &Arc<RsaKeyPair>, id: &str, with: &'static dyn RsaEncoding) -> Signer {
    let (n, e) = numbers(pair);
    let key = json!({"kty": "RSA", "kid": id, "use": "sig", "n": encoded(n), "e": encoded(e)});
    let pair = Arc::clone(pair);
    Signer {
        key,
        sign: Box::new(move |message| {
            let mut made = vec![0; pair.public_modulus_len()];
            pair.sign(with, &SystemRandom::new(), message, &mut made)
                .unwrap();
            made
        }),
    }
}

fn edwards(id: &str) -> Signer {
    let pair = Ed25519KeyPair::generate().unwrap();
    Signer {
        key: json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": encoded(pair.public_key())}),
        sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
    }
}

fn secret(id: &str, name: &str, secret: Vec<u8>) -> Signer {
    let with = Algorithm::parse(name).and_then(Algorithm::hmac).unwrap();
    Signer {
        key: json!({"kty": "oct", "kid": id, "alg": name, "k": encoded(&secret)}),
        sign: Box::new(move |message| {
            let key = aws_lc_rs::hmac::Key::new(with, &secret);
            aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
        }),
    }
}

fn set(signers: &[&Signer]) -> KeySet {
    let keys: Vec<_> = signers.iter().map(|signer| &signer.key).collect();
    let text = json!({ "keys": keys }).to_string();
    KeySet::parse(text.as_bytes(), Origin::File).unwrap()
}

fn token(header: &Value, claims: &Value, sign: &Sign) -> String {
    let message = format!(
        "{}.{}",
        encoded(header.to_string()),
        encoded(claims.to_string())
    );
    let signature = encoded(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn policy() -> Policy {
    Policy {
        algorithms: [].into(),
        issuers: [].into(),
        audiences: [].into(),
        leeway: Duration::from_secs(30),
        expiry: Expiry::Required,
    }
}

fn claims() -> Value {
    json!({"sub": "ann", "exp": NOW.as_secs() + 60})
}
