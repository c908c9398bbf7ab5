//! `X-Hub-Signature`: `sha1=` and the hex of HMAC-SHA1 over the body as it was transmitted (section 3, documented).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha1::Sha1;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// How a configured secret becomes key bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretEncoding {
    /// Its UTF-8 bytes as they are.
    #[default]
    Utf8,
    /// Hex.
    Hex,
    /// Base64.
    Base64,
}

/// The secrets of a channel: the first signs, all verify. Never empty.
#[derive(Debug, Clone)]
pub struct Secrets {
    keys: Vec<SecretSlice<u8>>,
}

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("the header X-Hub-Signature is missing")]
    Missing,
    /// It is not `sha1=` and 40 hex characters.
    #[error("the header X-Hub-Signature is not of the form sha1=<40 hex characters>")]
    Malformed,
    /// No active secret gives it.
    #[error("the signature matches none of the channel's secrets")]
    Mismatch,
}

/// A body whose signature was checked. Nothing else can be parsed.
pub struct Verified<'a> {
    body: &'a [u8],
    secret: usize,
}

impl<'a> Verified<'a> {
    /// The bytes to read.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The position of the secret that verified, from 0.
    pub fn secret(&self) -> usize {
        self.secret
    }
}

type Digest = [u8; 20];

impl Secrets {
    /// Decodes the secrets of a channel.
    ///
    /// # Errors
    /// None given, an empty one, or one that is not of the encoding; says which by position.
    pub fn new(secrets: &[SecretString], encoding: SecretEncoding) -> Result<Self, String> {
        if secrets.is_empty() {
            return Err("there is no secret".to_owned());
        }
        let decode = |(position, secret): (usize, &SecretString)| {
            let text = secret.expose_secret();
            let bytes = match encoding {
                SecretEncoding::Utf8 => Some(text.as_bytes().to_vec()),
                SecretEncoding::Hex => hex::decode(text.trim()).ok(),
                SecretEncoding::Base64 => STANDARD.decode(text.trim()).ok(),
            };
            match bytes {
                Some(bytes) if bytes.is_empty() => Err(format!("secret number {} is empty", position + 1)),
                Some(bytes) => Ok(SecretSlice::from(bytes)),
                None => Err(format!("secret number {} is not of the encoding", position + 1)),
            }
        };
        let keys = secrets.iter().enumerate().map(decode).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Checks a body against every secret, in constant time.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify<'a>(&self, header: Option<&str>, body: &'a [u8]) -> Result<Verified<'a>, SignatureError> {
        self.verify_decoded(header, body, body)
    }

    /// As [`Secrets::verify`], for a body that came compressed: the signature may be over the bytes on the wire, or over
    /// what they decode to; which is undocumented (section 3).
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify_decoded<'a>(
        &self,
        header: Option<&str>,
        wire: &[u8],
        decoded: &'a [u8],
    ) -> Result<Verified<'a>, SignatureError> {
        let given = parse(header.ok_or(SignatureError::Missing)?).ok_or(SignatureError::Malformed)?;
        let compressed = wire.len() != decoded.len() || wire.as_ptr() != decoded.as_ptr();
        let mut found = Choice::from(0);
        let mut secret = 0u64;
        // Every secret is tried whatever came before, so that time tells nothing about which one matched.
        for (position, key) in self.keys.iter().enumerate() {
            let mut matches = digest(key, wire).ct_eq(&given);
            if compressed {
                matches |= digest(key, decoded).ct_eq(&given);
            }
            secret.conditional_assign(&(position as u64), matches & !found);
            found |= matches;
        }
        if bool::from(found) {
            let secret = usize::try_from(secret).expect("it was a usize");
            Ok(Verified { body: decoded, secret })
        } else {
            Err(SignatureError::Mismatch)
        }
    }

    fn signing(&self) -> &SecretSlice<u8> {
        &self.keys[0]
    }
}

/// Prefix and hex are accepted in either case, with spaces around.
fn parse(header: &str) -> Option<Digest> {
    let header = header.trim();
    let (prefix, hex) = header.split_at_checked(5)?;
    let mut digest = [0; 20];
    (prefix.eq_ignore_ascii_case("sha1=") && hex::decode_to_slice(hex, &mut digest).is_ok()).then_some(digest)
}

fn digest(key: &SecretSlice<u8>, body: &[u8]) -> Digest {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.expose_secret()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// The value of `X-Hub-Signature` for a body: `sha1=` and lower-case hex, with the first secret.
pub fn sign(secrets: &Secrets, body: &[u8]) -> String {
    format!("sha1={}", hex::encode(digest(secrets.signing(), body)))
}

/// Signs a body that comes in pieces, with the first secret.
pub(crate) struct Signer {
    mac: Hmac<Sha1>,
}

impl Signer {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let key = secrets.signing().expose_secret();
        Self { mac: Hmac::new_from_slice(key).expect("HMAC takes keys of any length") }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        let digest: Digest = self.mac.finalize().into_bytes().into();
        format!("sha1={}", hex::encode(digest))
    }
}

#[cfg(test)]
mod tests;
