use std::path::PathBuf;
use std::time::Duration;

use runtime::Backoff;

use crate::{Login, Security};

/// A mailbox, and how it is watched.
#[derive(Debug, Clone)]
pub struct ImapConfig {
    /// The name of the provider account, in metrics and errors.
    pub target: String,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Who we are.
    pub login: Login,
    /// The mailbox; `INBOX` most often.
    pub mailbox: String,
    /// How often the mailbox is looked at, whatever the server says or does not say.
    pub every: Duration,
    /// The wait before a connection is made again.
    pub backoff: Backoff,
    /// Until a connection is protected and logged in.
    pub connect_timeout: Duration,
    /// Until a command is answered.
    pub command_timeout: Duration,
    /// Where large mails wait while they come in.
    pub spool: PathBuf,
    /// What is bounded.
    pub limits: ImapLimits,
    /// Certificates of authorities beside the system's, in PEM.
    pub authorities: Vec<Vec<u8>>,
}

/// How much of everything there may be.
#[derive(Debug, Clone)]
pub struct ImapLimits {
    /// Bytes of a mail; a larger one is skipped before it is fetched.
    pub mail_bytes: u64,
    /// Bytes of a mail that wait in memory; larger ones wait in a file.
    pub memory_bytes: usize,
    /// How often a mail may fail to be fetched before it is skipped.
    pub tries: u32,
    /// How long after a try that counted the next one counts.
    pub apart: Duration,
    /// Bytes that are fetched at once.
    pub piece_bytes: u32,
}

impl Default for ImapLimits {
    fn default() -> Self {
        Self {
            mail_bytes: 25 * 1024 * 1024,
            memory_bytes: 128 * 1024,
            tries: 3,
            apart: Duration::from_secs(150),
            piece_bytes: 256 * 1024,
        }
    }
}
