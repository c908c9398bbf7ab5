//! The configuration of a bridge under test, as a user would write it.

use std::path::Path;

use sandbox::{GenesysSim, NetSapiensSim};
use test_support::{Version, shared_postgres, shared_vhost};

pub(crate) const CCID: &str = "0ff723ff-6c6f-44e0-9ce3-ce579337eadd";
pub(crate) const CHANNEL_SECRET: &str = "kq7Hr2mZs9-channel-secret";
pub(crate) const OPEN_MEDIA_KEY: &str = "gws_Qp7xTn31-open-media-key";
pub(crate) const OPEN_MEDIA_SERVICE: &str = "sms-in";
pub(crate) const API_KEY: &str = "nss_Vb51tqWx-api-key";
pub(crate) const EVENT_SECRET: &str = "Yd83kfLp-event-secret";
pub(crate) const COMPANY: &str = "13125550100";
pub(crate) const USER: &str = "9000";
pub(crate) const DOMAIN: &str = "example.com";
pub(crate) const CHANNEL: &str = "sales-sms";

/// The channel of mail, which is a domain.
pub(crate) const MAIL_DOMAIN: &str = "company.com";
pub(crate) const MAIL_CHANNEL: &str = "company-mail";
pub(crate) const MAIL_SECRET: &str = "t4Wn8pQx-mail-channel-secret";

/// Which broker a bridge stands on.
#[derive(Debug, Clone)]
pub(crate) enum Queues {
    Embedded,
    RabbitMq(String),
}

impl Queues {
    /// An empty virtual host of the RabbitMQ that the tests of this process share.
    pub(crate) fn rabbitmq() -> Self {
        Self::RabbitMq(tokio::task::block_in_place(|| shared_vhost(Version::V43)))
    }
}

impl Queues {
    fn toml(&self, folder: &Path) -> String {
        match self {
            Self::Embedded => format!("kind = \"embedded\"\npath = \"{}/broker\"", folder.display()),
            Self::RabbitMq(url) => format!("kind = \"rabbitmq\"\nurl = \"{url}\""),
        }
    }
}

/// Which ledger a bridge keeps.
#[derive(Debug, Clone)]
pub(crate) enum Books {
    Sqlite,
    Postgres(String),
}

impl Books {
    /// An empty database of the PostgreSQL that the tests of this process share.
    pub(crate) fn postgres() -> Self {
        Self::Postgres(tokio::task::block_in_place(shared_postgres))
    }
}

impl Books {
    fn toml(&self, folder: &Path) -> String {
        match self {
            Self::Sqlite => format!("kind = \"sqlite\"\npath = \"{}/ledger.db\"", folder.display()),
            Self::Postgres(url) => format!("kind = \"postgres\"\nurl = \"{url}\""),
        }
    }
}

/// What differs between tests.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) queues: Queues,
    pub(crate) books: Books,
    pub(crate) http: String,
    /// As the outside sees the bridge; plain and without anything in front, where it says nothing.
    pub(crate) public_url: Option<String>,
    pub(crate) admin: String,
    pub(crate) log: String,
    pub(crate) delivered_when: &'static str,
    pub(crate) grace: &'static str,
    pub(crate) expire_replies: &'static str,
    pub(crate) expire_inbound: &'static str,
    /// More of the configuration, after everything else.
    pub(crate) more: String,
    /// How the provider is logged in to; by its key where it says nothing.
    pub(crate) auth: Option<&'static str>,
    /// More keys of the tenant, of the provider, and of the channel.
    pub(crate) tenant: &'static str,
    pub(crate) provider: &'static str,
    pub(crate) channel: &'static str,
}

impl Settings {
    pub(crate) fn on(queues: Queues) -> Self {
        let any = "127.0.0.1:0".to_owned();
        let (http, admin, log) = (any.clone(), any, "info".to_owned());
        Self {
            queues,
            books: Books::Sqlite,
            http,
            public_url: None,
            admin,
            log,
            delivered_when: "accepted",
            grace: "30s",
            expire_replies: "4h",
            expire_inbound: "72h",
            more: String::new(),
            auth: None,
            tenant: "",
            provider: "subscribe = false",
            channel: "",
        }
    }

    /// The TOML of a bridge that keeps its files in `folder`.
    pub(crate) fn toml(&self, folder: &Path, genesys: &GenesysSim, netsapiens: &NetSapiensSim) -> String {
        let (house, neighbours) = (self.house(folder), self.neighbours(genesys, netsapiens));
        format!("{house}{neighbours}\n{}\n", self.more)
    }

    fn house(&self, folder: &Path) -> String {
        let Self { queues, books, http, admin, log, grace, expire_replies, expire_inbound, .. } = self;
        let (broker, ledger, folder) = (queues.toml(folder), books.toml(folder), folder.display());
        let public_url = self.public_url.clone().unwrap_or_else(|| format!("http://{http}"));
        // An embedded broker makes its key up.
        let links = "signing_keys = [\"Zx81mdkQ-link-key\"]\nshared = true";
        let links = if matches!(queues, Queues::Embedded) { "" } else { links };
        format!(
            r#"
            [http]
            listen = "{http}"
            public_url = "{public_url}"
            [admin]
            listen = "{admin}"
            control = "unix:{folder}/control.sock"
            [broker]
            {broker}
            [ledger]
            {ledger}
            [blobs]
            url = "file:{folder}/blobs"
            {links}
            [shutdown]
            grace = "{grace}"
            lag = "0s"
            [expire]
            replies = "{expire_replies}"
            inbound = "{expire_inbound}"
            [receipts]
            hold = "200ms"
            [log]
            format = "json"
            filter = "{log}"
            "#
        )
    }

    fn neighbours(&self, genesys: &GenesysSim, netsapiens: &NetSapiensSim) -> String {
        let Self { delivered_when, tenant, provider, channel, .. } = self;
        let auth = self.auth.map_or_else(|| format!("kind = \"api-key\", key = \"{API_KEY}\""), str::to_owned);
        let (genesys, netsapiens) = (genesys.base_url(), netsapiens.base_url());
        format!(
            r#"
            [[genesys]]
            name = "main"
            base_url = "{genesys}"
            ccid = "{CCID}"
            api_key = "{OPEN_MEDIA_KEY}"
            {tenant}
            [[provider]]
            name = "crexendo"
            kind = "netsapiens"
            base_url = "{netsapiens}"
            domain = "{DOMAIN}"
            auth = {{ {auth} }}
            webhook_secrets = ["{EVENT_SECRET}"]
            delivered_when = "{delivered_when}"
            reconcile = {{ at = ["200ms", "500ms"] }}
            {provider}
            [[channel]]
            id = "{COMPANY}"
            name = "{CHANNEL}"
            kind = "sms"
            provider = "crexendo"
            user = "{USER}"
            secrets = ["{CHANNEL_SECRET}"]
            {channel}
            "#
        )
    }
}
