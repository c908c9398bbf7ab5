use std::io::Read;

use bytes::Bytes;
use http::{HeaderMap, header};
use runtime::http_server::BodyError;

use crate::answer::Refused;

/// A webhook's body as it came and as it reads; the same where nothing is compressed.
pub(crate) struct Bodies {
    pub(crate) wire: Bytes,
    pub(crate) decoded: Bytes,
}

/// Undoes `Content-Encoding`, which Genesys does not document but a gateway between us may add.
pub(crate) fn decode(headers: &HeaderMap, wire: Bytes, limit: usize) -> Result<Bodies, Refused> {
    let coding = headers.get(header::CONTENT_ENCODING).map_or(Ok("identity"), |value| value.to_str());
    match coding.map(|coding| coding.trim().to_ascii_lowercase()).as_deref() {
        Ok("identity" | "") => Ok(Bodies { decoded: wire.clone(), wire }),
        Ok("gzip" | "x-gzip") => Ok(Bodies { decoded: gunzip(&wire, limit)?, wire }),
        _ => Err(Refused::Encoding),
    }
}

fn gunzip(wire: &[u8], limit: usize) -> Result<Bytes, Refused> {
    let mut decoded = Vec::new();
    let bound = limit as u64 + 1;
    flate2::read::MultiGzDecoder::new(wire).take(bound).read_to_end(&mut decoded).map_err(|_| Refused::NotGzip)?;
    if decoded.len() > limit { Err(Refused::Body(BodyError::TooLarge)) } else { Ok(decoded.into()) }
}
