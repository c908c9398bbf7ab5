use model::{Private, ReceiptReason};

/// What became of handing one mail to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sending {
    /// The server took it, and said so.
    Sent {
        /// What it said; a queue id, most often.
        answer: Private<String>,
    },
    /// It will never take this mail.
    Refused(ReceiptReason),
    /// It does not take this mail now (4xx). Certainly not sent.
    Later {
        /// What the trouble is about.
        whose: Whose,
        /// The code and the sentence for the agent, should later never come.
        reason: ReceiptReason,
    },
    /// There was no talking to the server: no connection, no TLS, no greeting, or a silence before the mail itself.
    /// Certainly not sent.
    Unavailable {
        /// What happened and to which server; nothing private.
        cause: String,
    },
    /// The server refused our login: the account stops until somebody mends it. Certainly not sent.
    LoginRefused {
        /// What happened and what to do; nothing private.
        cause: String,
    },
    /// The whole mail was with the server, and the conversation broke off before its answer: it may have been taken.
    Unknown {
        /// What happened; nothing private.
        cause: String,
    },
}

impl Sending {
    /// The word in metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Refused(_) => "refused",
            Self::Later { .. } => "later",
            Self::Unavailable { .. } => "unavailable",
            Self::LoginRefused { .. } => "login-refused",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// What a passing trouble is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This recipient, or this mail: 4.7.x too, which is what greylisting says, and a mail that the server broke off.
    Mail,
    /// The server: it takes nothing from us for now (421, 4.3.x, or no sender).
    Server,
}
