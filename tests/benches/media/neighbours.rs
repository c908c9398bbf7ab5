//! NetSapiens, which has the pictures, and Genesys, where they end.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use runtime::Shutdown;
use sandbox::{
    ConsumerFile, GenesysSim, GenesysSimConfig, NetSapiensSim, NetSapiensSimConfig, ReceivedMessage, SimChannel,
    SimNumber,
};
use tokio::net::TcpListener;

const CCID: &str = "0ff723ff-6c6f-44e0-9ce3-ce579337eadd";
const CHANNEL_SECRET: &str = "kq7Hr2mZs9-channel-secret";
const API_KEY: &str = "nss_Vb51tqWx-api-key";
const EVENT_SECRET: &str = "Yd83kfLp-event-secret";
const COMPANY: &str = "13125550100";
const USER: &str = "9000";
const DOMAIN: &str = "example.com";

/// Consumers who take turns: as many as may have a picture under way, since each conversation keeps its order. NetSapiens
/// remembers two hundred pictures, and one that is overtaken by many must still be among them.
pub(crate) const CONSUMERS: u64 = 128;
/// The neighbours remember not much more.
pub(crate) const MOST: u64 = 40_000;
/// Bytes of a picture.
const SIZE: usize = 1_000_000;
/// Stands in every caption before the picture's number.
const MARK: &str = "picture ";
/// A picture that takes longer is lost.
const LOST: Duration = Duration::from_secs(120);

/// How an agent is given a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Link,
    RichMedia,
}

impl Form {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::RichMedia => "rich-media",
        }
    }
}

/// What stands around the bridge; it ends when this is dropped.
pub(crate) struct Neighbours {
    genesys: GenesysSim,
    netsapiens: NetSapiensSim,
    /// The picture that all are made from.
    pattern: Vec<u8>,
    /// Bytes before the picture's own.
    head: usize,
}

impl Neighbours {
    pub(crate) async fn start(bridge: SocketAddr) -> anyhow::Result<Self> {
        let shutdown = Shutdown::new();
        let channel = SimChannel { id: COMPANY.to_owned(), secret: CHANNEL_SECRET.to_owned(), webhook_url: None };
        let config = GenesysSimConfig { ccid: CCID.to_owned(), channels: vec![channel] };
        let genesys = GenesysSim::start(TcpListener::bind("127.0.0.1:0").await?, config, shutdown.clone());
        let config = NetSapiensSimConfig {
            domain: DOMAIN.to_owned(),
            api_key: API_KEY.to_owned(),
            numbers: vec![SimNumber { user: USER.to_owned(), number: COMPANY.to_owned() }],
            event_url: Some(format!("http://{bridge}/netsapiens/crexendo/{EVENT_SECRET}")),
        };
        let netsapiens = NetSapiensSim::start(TcpListener::bind("127.0.0.1:0").await?, config, shutdown);
        let (pattern, head) = jpeg();
        Ok(Self { genesys, netsapiens, pattern, head })
    }

    /// The TOML of the bridge between them; all that could slow it down on purpose is at its default.
    pub(crate) fn toml(&self, folder: &Path, form: Form, http: SocketAddr, admin: SocketAddr) -> String {
        let (genesys, netsapiens) = (self.genesys.base_url(), self.netsapiens.base_url());
        let (folder, form) = (folder.display(), form.word());
        format!(
            r#"
            [http]
            listen = "{http}"
            public_url = "http://{http}"
            [admin]
            listen = "{admin}"
            control = "unix:{folder}/control.sock"
            [broker]
            kind = "embedded"
            path = "{folder}/broker"
            [ledger]
            kind = "sqlite"
            path = "{folder}/ledger.db"
            [blobs]
            url = "file:{folder}/blobs"
            [shutdown]
            lag = "0s"
            [[genesys]]
            name = "main"
            base_url = "{genesys}"
            ccid = "{CCID}"
            [[provider]]
            name = "crexendo"
            kind = "netsapiens"
            base_url = "{netsapiens}"
            domain = "{DOMAIN}"
            auth = {{ kind = "api-key", key = "{API_KEY}" }}
            webhook_secrets = ["{EVENT_SECRET}"]
            delivered_when = "accepted"
            subscribe = false
            [[channel]]
            id = "{COMPANY}"
            name = "sales-sms"
            kind = "sms"
            user = "{USER}"
            secrets = ["{CHANNEL_SECRET}"]
            media = "{form}"
            "#
        )
    }

    /// The bytes of one picture. Each is another one, so that none could stand for two.
    pub(crate) fn picture(&self, number: u64) -> Bytes {
        let mut bytes = self.pattern.clone();
        bytes[self.head..self.head + 8].copy_from_slice(&number.to_be_bytes());
        bytes.into()
    }

    /// Sends these pictures, so many of them under way at a time, and waits until all have arrived.
    pub(crate) async fn send(&self, numbers: Range<u64>, at_once: u64) -> anyhow::Result<()> {
        for number in numbers.clone() {
            self.arrived((number + 1).saturating_sub(at_once)).await?;
            let consumer = format!("1312{:07}", 5_000_000 + number % CONSUMERS);
            let (bytes, size) = (self.picture(number), SIZE as u64);
            let file = ConsumerFile { media_type: "image/jpeg".to_owned(), size, bytes };
            self.netsapiens.consumer_sends_file(&consumer, COMPANY, &format!("{MARK}{number}"), file)?;
        }
        self.arrived(numbers.end).await
    }

    async fn arrived(&self, count: u64) -> anyhow::Result<()> {
        let arrived = self.genesys.until(LOST, |genesys| (genesys.message_count() >= count).then_some(())).await;
        arrived.with_context(|| {
            format!("{} of {count} pictures arrived, and no more in {LOST:?}", self.genesys.message_count())
        })
    }

    /// Each of these came once, with its picture; the times they took.
    pub(crate) fn check(&self, form: Form, numbers: Range<u64>) -> anyhow::Result<Vec<Duration>> {
        let refusals = self.genesys.refusals();
        ensure!(refusals.is_empty(), "Genesys refused calls: {refusals:?}");
        ensure!(self.genesys.message_count() == numbers.end, "messages came more than once");
        let mut came = HashMap::new();
        for message in self.genesys.messages() {
            let with_picture = match form {
                Form::Link => message.attachments.is_empty() && link(&message).is_some(),
                Form::RichMedia => message.attachments.len() == 1,
            };
            ensure!(with_picture, "a message came without its picture: {}", message.text);
            came.insert(number(&message.text)?, message.at);
        }
        let mut took = Vec::new();
        for sent in self.netsapiens.consumer_messages() {
            let number = number(&sent.text)?;
            let at = came.get(&number).with_context(|| format!("picture {number} did not come"))?;
            if numbers.contains(&number) {
                took.push(Duration::try_from(at.duration_since(sent.at))?);
            }
        }
        let uploads = self.genesys.media();
        let whole = uploads.iter().all(|media| number_of_picture(self, &media.bytes).is_some());
        ensure!(whole, "an upload is not the picture that was sent");
        ensure!(uploads.is_empty() == (form == Form::Link), "{} pictures are kept at Genesys", uploads.len());
        Ok(took)
    }

    /// The link to one picture.
    pub(crate) fn link(&self, number: u64) -> anyhow::Result<String> {
        let ends = format!("{MARK}{number}");
        let found = self.genesys.messages().into_iter().find(|message| message.text.lines().next() == Some(&ends));
        found.as_ref().and_then(link).map(str::to_owned).with_context(|| format!("picture {number} has no link"))
    }
}

/// The number within a picture, where it is one of these and whole.
fn number_of_picture(neighbours: &Neighbours, bytes: &Bytes) -> Option<u64> {
    let own = bytes.get(neighbours.head..neighbours.head + 8)?;
    let number = u64::from_be_bytes(own.try_into().ok()?);
    (neighbours.picture(number) == *bytes).then_some(number)
}

fn link(message: &ReceivedMessage) -> Option<&str> {
    message.text.lines().find_map(|line| line.strip_prefix("Picture: "))
}

fn number(text: &str) -> anyhow::Result<u64> {
    let Some(number) = text.lines().next().and_then(|caption| caption.strip_prefix(MARK)) else {
        bail!("a message without its caption: {text}");
    };
    Ok(number.parse()?)
}

/// A photograph of 4,000 by 3,000 pixels for whoever looks at its headers, and where its own bytes begin.
fn jpeg() -> (Vec<u8>, usize) {
    let mut bytes = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x48\0\x48\0\0".to_vec();
    bytes.extend(b"\xff\xc0\0\x11\x08\x0b\xb8\x0f\xa0\x03\x01\x22\0\x02\x11\x01\x03\x11\x01");
    bytes.extend(b"\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0");
    let head = bytes.len();
    // Noise, as compressed pixels are.
    let mut state: u32 = 1;
    bytes.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(SIZE - head - 2),
    );
    bytes.extend(b"\xff\xd9");
    (bytes, head)
}
