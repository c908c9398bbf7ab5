//! NetSapiens (Crexendo) ns-api v2.

use jiff::Timestamp;
use model::{NeighbourName, SessionId};
use runtime::{Clock, HttpClient};
use secrecy::SecretString;

use crate::{Look, ReadEvents, SendError, SendRequest, Sent, Unreadable};

/// One account.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its configured name; the `target` in metrics.
    pub name: NeighbourName,
    /// Including `/ns-api/v2`.
    pub base_url: String,
    /// The domain.
    pub domain: String,
    /// The API key.
    pub api_key: SecretString,
    /// Secrets of the event URL; the first is handed out, all are accepted.
    pub webhook_secrets: Vec<SecretString>,
    /// The zone of its naive timestamps.
    pub time_zone: jiff::tz::TimeZone,
    /// The company's numbers on this account, digits, so that own messages are recognised.
    pub own_numbers: Vec<String>,
}

/// Calls one account.
#[derive(Debug, Clone)]
pub struct Account;

impl Account {
    /// A client of one account.
    pub fn new(_config: Config, _http: HttpClient, _clock: Clock) -> Self {
        unimplemented!()
    }
    /// Its configured name.
    pub fn name(&self) -> &NeighbourName {
        unimplemented!()
    }
    /// Sends one text, trying once.
    pub(crate) async fn send(&self, _request: &SendRequest) -> Result<Sent, SendError> {
        unimplemented!()
    }
    pub(crate) async fn look(&self, _request: &SendRequest, _began: Timestamp) -> Result<Look, SendError> {
        unimplemented!()
    }
    pub(crate) fn accepts_secret(&self, _secret: &str) -> bool {
        unimplemented!()
    }
    pub(crate) fn read_events(&self, _body: &[u8]) -> Result<ReadEvents, Unreadable> {
        unimplemented!()
    }
}

/// The session of a conversation that has none yet: derived from (our number, remote), so that every attempt and replica
/// finds the same one.
pub fn derive_session(_our_number: &str, _remote: &str) -> SessionId {
    unimplemented!()
}
