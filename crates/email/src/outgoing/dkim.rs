//! DKIM signatures (RFC 6376, RFC 8463) with the crypto provider of the tree: `relaxed/relaxed`, over the headers that tell
//! who writes what to whom.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

/// A key that signs for a domain.
pub struct DkimKey {
    domain: String,
    selector: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a key cannot sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DkimKeyError {
    /// It is no PEM private key.
    #[error("the DKIM key is no PEM private key (PKCS#8 or PKCS#1)")]
    Pem,
    /// It is of a kind or a length that is not used for this.
    #[error("the DKIM key must be RSA of 2048 to 8192 bits, or Ed25519")]
    Kind,
    /// The domain or the selector cannot stand in the header.
    #[error("the DKIM domain and selector may hold letters, digits, '-', '_' and '.' only")]
    Name,
}

/// Headers that are signed where they are there; each once, as they stand once in our mails.
const SIGNED: &[&str] = &[
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "auto-submitted",
];

/// Named once more than they are there, so that one which is added breaks the signature: programs differ in which of two they show.
const ONCE: &[&str] = &["from", "to", "subject", "date", "reply-to", "content-type"];

impl DkimKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// [`DkimKeyError`] says what is wrong with it.
    pub fn read(domain: &str, selector: &str, pem: &[u8]) -> Result<Self, DkimKeyError> {
        let plain =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !plain(domain) || !plain(selector) {
            return Err(DkimKeyError::Name);
        }
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| DkimKeyError::Pem)?;
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(Pair::Rsa),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let rsa = RsaKeyPair::from_pkcs8(der).ok().map(Pair::Rsa);
                rsa.or_else(|| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Pair::Ed25519))
            }
            _ => None,
        };
        let pair = pair.ok_or(DkimKeyError::Kind)?;
        Ok(Self { domain: domain.to_lowercase(), selector: selector.to_owned(), pair })
    }

    /// The header that signs a mail, with its line end.
    pub(crate) fn sign(&self, mail: &[u8], at: Timestamp) -> Result<String, ring::error::Unspecified> {
        let split = mail.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(mail.len());
        let header = String::from_utf8_lossy(&mail[..split]);
        let body = mail.get(split + 4..).unwrap_or_default();
        let fields = fields(&header);
        let signed: Vec<&(String, String)> =
            SIGNED.iter().filter_map(|name| fields.iter().rev().find(|(known, _)| known == name)).collect();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).chain(ONCE.iter().copied()).collect();
        let hash = STANDARD.encode(Sha256::digest(relaxed_body(body)));
        let (algorithm, domain, selector) = (self.algorithm(), &self.domain, &self.selector);
        let value = format!(
            "v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector}; t={};\r\n\th={};\r\n\tbh={hash};\r\n\tb=",
            at.as_second(),
            names.join(":")
        );
        let mut data: String =
            signed.iter().map(|(name, value)| format!("{name}:{}\r\n", relaxed_value(value))).collect();
        data.push_str(&format!("dkim-signature:{}", relaxed_value(&value)));
        let signature = self.signature(data.as_bytes())?;
        Ok(format!("DKIM-Signature: {value}{}\r\n", folded(&STANDARD.encode(signature))))
    }

    const fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "rsa-sha256",
            Pair::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn signature(&self, data: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)?;
                Ok(signature)
            }
            // RFC 8463: what is signed is the hash of the data.
            Pair::Ed25519(pair) => Ok(pair.sign(&Sha256::digest(data)).as_ref().to_vec()),
        }
    }
}

impl std::fmt::Debug for DkimKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "DkimKey({} {})", self.domain, self.selector)
    }
}

fn folded(signature: &str) -> String {
    let mut lines = Vec::new();
    let mut rest = signature;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(72));
        lines.push(line);
        rest = after;
    }
    lines.join("\r\n\t")
}

/// Names in lower case and values as they stand, with their folds.
fn fields(header: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in header.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str("\r\n");
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.to_owned()));
        }
    }
    fields
}

fn relaxed_value(value: &str) -> String {
    let words = value.split(|c: char| " \t\r\n".contains(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 2);
    let mut empty = 0usize;
    let mut lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let kept = relaxed_line(line);
        if kept.is_empty() {
            empty += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut empty) {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&kept);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn relaxed_line(line: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(line.len());
    let mut space = false;
    for byte in line {
        if b" \t".contains(byte) {
            space = true;
            continue;
        }
        if std::mem::take(&mut space) {
            kept.push(b' ');
        }
        kept.push(*byte);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_values_are_relaxed_as_the_standard_shows() {
        // RFC 6376, 3.4.5.
        assert_eq!(relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
        assert_eq!(relaxed_value(" X"), "X");
        assert_eq!(relaxed_value(" Y\t\r\n\tZ  "), "Y Z");
        assert_eq!(relaxed_body(b"\r\n\r\n"), b"", "an empty body stays empty");
        assert_eq!(relaxed_body(b"no line end"), b"no line end\r\n");
    }

    #[test]
    fn keys_that_cannot_sign_are_told() {
        assert_eq!(DkimKey::read("a.example", "s", b"no key").unwrap_err(), DkimKeyError::Pem);
        assert_eq!(DkimKey::read("a.example;", "s", b"").unwrap_err(), DkimKeyError::Name);
    }
}
