//! Subscriptions to a provider's events.

use jiff::Timestamp;
use model::Private;

/// What happens to that events tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventModel {
    /// Messages. They are asked for alone: each text fires both kinds, and the other tells less.
    Messages,
    /// Message sessions.
    Sessions,
}

/// A subscription to events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The provider's id.
    pub id: String,
    /// What happens to, in the provider's word.
    pub model: String,
    /// Whose events.
    pub user: String,
    /// Of which domain.
    pub domain: Option<String>,
    /// Where they are posted; its path holds a secret.
    pub post_url: Private<String>,
    /// `pending`, `active` or `error`.
    pub status: String,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// The provider's server that posts.
    pub server: Option<String>,
    /// Posts that failed lately.
    pub errors: Option<u64>,
    /// Posts there were.
    pub posts: Option<u64>,
    /// By which path it is reached.
    pub form: SubscriptionForm,
}

impl Subscription {
    /// Whether a server is named that posts; an address in its place is none.
    pub fn has_server(&self) -> bool {
        self.server.as_ref().is_some_and(|server| !server.contains("://"))
    }
}

/// The paths under which servers keep subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionForm {
    /// Below a domain.
    Domain,
    /// For the whole core; older servers have nothing else.
    Core,
}

/// A subscription as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSubscription {
    /// What happens to.
    pub model: EventModel,
    /// Whose events.
    pub user: String,
    /// Where they are posted; its path holds a secret.
    pub post_url: Private<String>,
    /// When it ends.
    pub expires: Timestamp,
    /// The server that should post, a bare host.
    pub preferred_server: Option<String>,
}

/// What became of the wish for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was made.
    Made,
    /// There is one like it.
    WasThere,
}
