//! The simulated Genesys and NetSapiens of one test.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use runtime::Shutdown;
use sandbox::{
    GenesysSim, GenesysSimConfig, NetSapiensSim, NetSapiensSimConfig, Redelivery, SentSms, SimChannel, SimNumber,
};
use tokio::net::TcpListener;

use crate::settings::{
    API_KEY, CCID, CHANNEL, CHANNEL_SECRET, COMPANY, DOMAIN, EVENT_SECRET, MAIL_CHANNEL, MAIL_DOMAIN, MAIL_SECRET,
    OPEN_MEDIA_KEY, OPEN_MEDIA_SERVICE, USER,
};

/// For anything that should happen: long, because the machine is shared, and never waited out when all is well.
pub(crate) const SOON: Duration = Duration::from_secs(150);

/// What stands around the bridge.
pub(crate) struct Neighbours {
    pub(crate) genesys: GenesysSim,
    pub(crate) netsapiens: NetSapiensSim,
    pub(crate) shutdown: Shutdown,
}

impl Neighbours {
    pub(crate) async fn start() -> Self {
        let shutdown = Shutdown::new();
        let channel = SimChannel { id: COMPANY.to_owned(), secret: CHANNEL_SECRET.to_owned(), webhook_url: None };
        let mail = SimChannel { id: MAIL_DOMAIN.to_owned(), secret: MAIL_SECRET.to_owned(), webhook_url: None };
        let config = GenesysSimConfig { ccid: CCID.to_owned(), channels: vec![channel, mail] };
        let genesys = GenesysSim::start(listener().await, config, shutdown.clone());
        genesys.serve_open_media(OPEN_MEDIA_KEY, &[OPEN_MEDIA_SERVICE, "email-in"]);
        genesys.set_redelivery(Redelivery {
            attempts: 200,
            interval: Duration::from_millis(250),
            timeout: Duration::from_secs(10),
        });
        let config = NetSapiensSimConfig {
            domain: DOMAIN.to_owned(),
            api_key: API_KEY.to_owned(),
            numbers: vec![SimNumber { user: USER.to_owned(), number: COMPANY.to_owned() }],
            event_url: None,
        };
        let netsapiens = NetSapiensSim::start(listener().await, config, shutdown.clone());
        Self { genesys, netsapiens, shutdown }
    }

    /// Tells both where the bridge is.
    pub(crate) fn point_at(&self, bridge: SocketAddr) {
        self.genesys.set_webhook(COMPANY, format!("http://{bridge}/genesys/{CHANNEL}"));
        self.genesys.set_webhook(MAIL_DOMAIN, format!("http://{bridge}/genesys/{MAIL_CHANNEL}"));
        self.netsapiens.set_event_url(format!("http://{bridge}/netsapiens/crexendo/{EVENT_SECRET}"));
    }

    /// A consumer texts the company.
    pub(crate) fn text(&self, consumer: &str, text: &str) {
        self.netsapiens.consumer_sends(consumer, COMPANY, text).expect("the number is the company's");
    }

    /// The agent writes to a consumer; the id of the message.
    pub(crate) fn reply(&self, consumer: &str, text: &str) -> String {
        self.genesys.agent_sends(COMPANY, consumer, text)
    }

    /// What the agent has seen of a consumer, in order.
    pub(crate) fn seen_by_agent(&self, consumer: &str) -> Vec<String> {
        let messages = self.genesys.messages().into_iter();
        messages.filter(|message| message.from == consumer).map(|message| message.text).collect()
    }

    /// What a consumer's phone has shown, in order.
    pub(crate) fn on_phone(&self, consumer: &str) -> Vec<SentSms> {
        self.netsapiens.sent().into_iter().filter(|sms| sms.to == consumer).collect()
    }

    /// The receipts of one reply: status and reason codes.
    pub(crate) fn receipts(&self, id: &str) -> Vec<(String, Vec<i64>)> {
        let receipts = self.genesys.receipts().into_iter().filter(|receipt| receipt.message_id == id);
        receipts.map(|receipt| (receipt.status, receipt.reasons.into_iter().map(|(code, _)| code).collect())).collect()
    }

    /// Waits until the agent has seen so many messages.
    pub(crate) async fn agent_sees(&self, count: u64) {
        let seen = self.genesys.until(SOON, |genesys| (genesys.message_count() >= count).then_some(())).await;
        assert!(seen.is_some(), "{} of {count} messages reached the agent", self.genesys.message_count());
    }

    /// Waits until so many texts reached phones.
    pub(crate) async fn phones_show(&self, count: u64) {
        let shown = self.netsapiens.until(SOON, |sim| (sim.sent_count() >= count).then_some(())).await;
        assert!(shown.is_some(), "{} of {count} texts reached a phone", self.netsapiens.sent_count());
    }

    /// Waits until so many receipts were told; one that is told again, as after a crash, is the same.
    pub(crate) async fn receipts_told(&self, count: u64) {
        let different = |genesys: &GenesysSim| {
            let receipts = genesys.receipts().into_iter();
            receipts.map(|one| (one.message_id, one.to, one.status, one.reasons)).collect::<BTreeSet<_>>().len() as u64
        };
        let told = self.genesys.until(SOON, |genesys| (different(genesys) >= count).then_some(())).await;
        assert!(told.is_some(), "{} of {count} receipts were told", different(&self.genesys));
    }

    /// Waits until Genesys has an answer to the webhook of a reply.
    pub(crate) async fn webhook_answered(&self, id: &str) -> sandbox::WebhookState {
        self.genesys.webhook_settled(id, SOON).await.expect("the webhook is answered")
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port is free")
}
