//! The configuration of a bridge that is measured.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

pub(crate) const CHANNEL: &str = "sales-sms";
pub(crate) const CHANNEL_SECRET: &str = "kq7Hr2mZs9-channel-secret";
pub(crate) const COMPANY: &str = "13125550100";
pub(crate) const DOMAIN: &str = "example.com";
pub(crate) const EVENT_SECRET: &str = "Yd83kfLp-event-secret";
pub(crate) const PROVIDER: &str = "crexendo";
pub(crate) const USER: &str = "9000";

/// Which broker a bridge stands on.
#[derive(Debug, Clone)]
pub(crate) enum Queues {
    Embedded,
    RabbitMq(String),
}

/// Which ledger a bridge keeps.
#[derive(Debug, Clone)]
pub(crate) enum Books {
    Sqlite,
    Postgres(String),
}

impl fmt::Display for Queues {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Embedded => "embedded",
            Self::RabbitMq(_) => "RabbitMQ",
        })
    }
}

impl fmt::Display for Books {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        })
    }
}

/// What the processes of one bridge have in common.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) queues: Queues,
    pub(crate) books: Books,
    /// The far sides.
    pub(crate) far: String,
}

impl Settings {
    /// The TOML of one process. All that could slow it down on purpose is at its default, but for the hold of receipts, which
    /// would be measured instead of them.
    pub(crate) fn toml(&self, folder: &Path, name: &str, http: SocketAddr, admin: SocketAddr) -> String {
        let Self { queues, books, far } = self;
        let folder = folder.display();
        let broker = match queues {
            Queues::Embedded => format!("kind = \"embedded\"\npath = \"{folder}/broker\""),
            Queues::RabbitMq(url) => format!("kind = \"rabbitmq\"\nurl = \"{url}\""),
        };
        let ledger = match books {
            Books::Sqlite => format!("kind = \"sqlite\"\npath = \"{folder}/ledger.db\""),
            Books::Postgres(url) => format!("kind = \"postgres\"\nurl = \"{url}\""),
        };
        format!(
            r#"
            [http]
            listen = "{http}"
            public_url = "http://{http}"
            [admin]
            listen = "{admin}"
            control = "unix:{folder}/{name}.sock"
            [broker]
            {broker}
            [ledger]
            {ledger}
            [shutdown]
            lag = "0s"
            [receipts]
            hold = "1ms"
            [[genesys]]
            name = "main"
            base_url = "{far}/genesys"
            ccid = "0ff723ff-6c6f-44e0-9ce3-ce579337eadd"
            [[provider]]
            name = "{PROVIDER}"
            kind = "netsapiens"
            base_url = "{far}/ns-api/v2"
            domain = "{DOMAIN}"
            auth = {{ kind = "api-key", key = "nss_Vb51tqWx-api-key" }}
            webhook_secrets = ["{EVENT_SECRET}"]
            delivered_when = "accepted"
            subscribe = false
            [[channel]]
            id = "{COMPANY}"
            name = "{CHANNEL}"
            kind = "sms"
            user = "{USER}"
            secrets = ["{CHANNEL_SECRET}"]
            "#
        )
    }
}
