//! One direction's key of TLS 1.3: records sealed and opened where they stand (RFC 8446, 5.2 and 5.3).

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::{ConnectionTrafficSecrets, Error};

use super::RECORD;

/// Type, version and length.
pub(super) const HEADER: usize = 5;
/// What every algorithm here proves a record by.
pub(super) const TAG: usize = 16;
/// What a sealed record is longer than what is in it: its real type stands behind the data.
pub(super) const MORE: usize = HEADER + 1 + TAG;

/// Up to so many bytes are copied, so that their type stands behind them: a cipher that finds it elsewhere works twice.
const COPIED: usize = 4 << 10;

/// What a record carries (RFC 8446, B.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Alert,
    Handshake,
    Data,
}

impl Kind {
    /// As it stands on the wire.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    /// `None`: none that may stand in a sealed record.
    fn of(code: u8) -> Option<Self> {
        [Self::Alert, Self::Handshake, Self::Data]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// A key, and the number of the next record. No number is used twice: it is what makes each record's nonce its own.
pub(super) struct Key {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    next: u64,
}

impl Key {
    /// The key of these secrets, with which so many records were sealed before.
    pub(super) fn new((next, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Error> {
        match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => {
                Self::of(&AES_128_GCM, &key, &iv, next)
            }
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
                Self::of(&AES_256_GCM, &key, &iv, next)
            }
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                Self::of(&CHACHA20_POLY1305, &key, &iv, next)
            }
            _ => Err(Error::General("secrets of an unknown suite".to_owned())),
        }
    }

    fn of(algorithm: &'static Algorithm, key: &AeadKey, iv: &Iv, next: u64) -> Result<Self, Error> {
        let unusable = || Error::General("secrets of a wrong length".to_owned());
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| unusable())?;
        Ok(Self {
            aead: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().map_err(|_| unusable())?,
            next,
        })
    }

    /// How many records it has sealed or opened.
    pub(super) const fn used(&self) -> u64 {
        self.next
    }

    /// The next record's nonce; `None` where all are used up.
    fn nonce(&mut self) -> Option<Nonce> {
        let number = self.next;
        self.next = number.checked_add(1)?;
        let mut nonce = self.iv;
        for (byte, of) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= of;
        }
        Some(Nonce::assume_unique_for_key(nonce))
    }

    /// Seals both slices into one record, which fills `place`: it is longer by [`MORE`], and they are no more than a record may carry.
    pub(super) fn seal(
        &mut self,
        kind: Kind,
        first: &[u8],
        second: &[u8],
        place: &mut [u8],
    ) -> Result<(), Error> {
        self.seal_as(kind.code(), first, second, place)
    }

    pub(super) fn seal_as(
        &mut self,
        kind: u8,
        first: &[u8],
        second: &[u8],
        place: &mut [u8],
    ) -> Result<(), Error> {
        let length =
            u16::try_from(place.len().saturating_sub(HEADER)).map_err(|_| Error::EncryptError)?;
        let [high, low] = length.to_be_bytes();
        let header = [Kind::Data.code(), 3, 3, high, low];
        let (front, sealed) = place.split_first_chunk_mut().ok_or(Error::EncryptError)?;
        *front = header;
        let whole = first.len() + second.len();
        if whole + 1 + TAG != sealed.len() {
            return Err(Error::EncryptError);
        }
        let nonce = self.nonce().ok_or(Error::EncryptError)?;
        let aad = Aad::from(header);
        let failed = |_| Error::EncryptError;
        if second.is_empty() && whole > COPIED {
            let (body, proof) = sealed.split_at_mut(whole);
            let kind = [kind];
            let aead = &self.aead;
            return aead
                .seal_out_of_place_scatter(nonce, aad, first, body, &kind, proof)
                .map_err(failed);
        }
        let (inner, proof) = sealed.split_at_mut(whole + 1);
        let (front, rest) = inner.split_at_mut(first.len());
        let (behind, last) = rest.split_at_mut(second.len());
        front.copy_from_slice(first);
        behind.copy_from_slice(second);
        last.fill(kind);
        let tag = self
            .aead
            .seal_in_place_separate_tag(nonce, aad, inner)
            .map_err(failed)?;
        proof.copy_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens what stands behind a record's header: its type, where it has one that may be there, and what it carries without padding.
    pub(super) fn open<'r>(
        &mut self,
        header: [u8; HEADER],
        sealed: &'r mut [u8],
    ) -> Result<(Option<Kind>, &'r mut [u8]), Error> {
        let nonce = self.nonce().ok_or(Error::DecryptError)?;
        let opened = self
            .aead
            .open_in_place(nonce, Aad::from(header), sealed)
            .map_err(|_| Error::DecryptError)?;
        // With its type, and all padding.
        if opened.len() > RECORD + 1 {
            return Err(Error::PeerSentOversizedRecord);
        }
        let end = opened.iter().rposition(|&byte| byte != 0);
        let Some((opened, [kind, ..])) = end.and_then(|end| opened.split_at_mut_checked(end))
        else {
            return Ok((None, &mut []));
        };
        Ok((Kind::of(*kind), opened))
    }
}

#[cfg(test)]
impl Key {
    /// It has sealed as many records as it can.
    pub(super) fn exhaust(&mut self) {
        self.next = u64::MAX;
    }
}
