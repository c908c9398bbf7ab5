//! Which RabbitMQ answers. The client library keeps the server's properties to itself, so the greeting is read on a
//! connection of its own, which ends there.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use lapin::runtime::default_runtime;
use lapin::tcp::{AMQPUriTcpExt, OwnedTLSConfig};
use tokio::time::timeout;

use super::link::{authorities, uri};
use crate::RabbitMqConfig;

/// AMQP 0-9-1, section 4.2.2: what a client says first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// A method frame, on channel 0.
const METHOD: u8 = 1;
/// `connection.start`.
const START: [u8; 4] = [0, 10, 0, 10];
/// The `version` of the server's properties: a short string as name, and a long string.
const VERSION: &[u8] = b"\x07versionS";
/// RabbitMQ's greeting is about 500 bytes.
const LONGEST: usize = 16 * 1024;
const WITHIN: Duration = Duration::from_secs(10);

/// The version of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    major: u32,
    text: String,
}

impl Version {
    /// Whether it has a delivery limit by default, and `-1` for none: from 4.0 on. Earlier ones have none, and take -1 for
    /// "drop what comes back for the first time".
    pub(super) const fn has_unlimited(&self) -> bool {
        self.major >= 4
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Asks the broker for its version.
pub(super) async fn version(config: &RabbitMqConfig) -> anyhow::Result<Version> {
    timeout(WITHIN, greeting(config)).await.context("no greeting in time")?
}

async fn greeting(config: &RabbitMqConfig) -> anyhow::Result<Version> {
    let uri = uri(config)?;
    let tls = OwnedTLSConfig { identity: None, cert_chain: authorities(config)? };
    let runtime = default_runtime()?;
    let mut stream = uri.connect_with_config_async(tls.as_ref(), &runtime).await?;
    stream.write_all(PROTOCOL_HEADER).await?;
    let mut header = [0; 7];
    stream.read_exact(&mut header).await?;
    let length = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    ensure!(header[0] == METHOD && length <= LONGEST, "what answers is no AMQP 0-9-1 broker");
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    let text = version_in(&payload).context("the broker's greeting names no version")?;
    read(&text).with_context(|| format!("the broker calls its version {text}"))
}

fn version_in(payload: &[u8]) -> Option<String> {
    let properties = payload.strip_prefix(&START)?;
    let at = properties.windows(VERSION.len()).position(|window| window == VERSION)? + VERSION.len();
    let length = properties.get(at..at + 4)?;
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
    let text = properties.get(at + 4..at + 4 + usize::try_from(length).ok()?)?;
    String::from_utf8(text.to_vec()).ok()
}

fn read(text: &str) -> Option<Version> {
    let (major, _) = text.split_once('.')?;
    Some(Version { major: major.parse().ok()?, text: text.chars().filter(|c| !c.is_control()).take(40).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(properties: &[u8]) -> Vec<u8> {
        [&START, [0, 9].as_slice(), properties].concat()
    }

    #[test]
    fn the_version_is_found_among_the_properties() {
        let payload = start(b"\x00\x00\x00\x20\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x053.1.8");
        assert_eq!(version_in(&payload).as_deref(), Some("3.1.8"));
        assert_eq!(version_in(&start(b"\x07versionS\x00\x00\xff\xff4.3")), None, "cut off");
        assert_eq!(version_in(b"\x00\x14\x00\x0a\x07versionS\x00\x00\x00\x034.3"), None, "another method");
    }

    #[test]
    fn only_from_4_on_minus_one_is_no_limit() {
        for (text, expected) in [("3.10.8", false), ("3.13.7", false), ("4.0.5", true), ("4.3.6", true), ("10.0", true)]
        {
            assert_eq!(read(text).expect("it is a version").has_unlimited(), expected, "{text}");
        }
        assert_eq!(read("unknown"), None);
    }
}
