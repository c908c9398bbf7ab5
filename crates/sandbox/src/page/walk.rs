use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

/// Asks the bridge for its own view of one consumer's messages.
///
/// The answer is an object, every key of which may be missing: `queues` (as `causeway queues --json`: `queue`, `ready`,
/// `in_hand`, …), `lines` (as `causeway trace --json`: `at`, `id`, `family`, `foreign_id`, `trace`, `what`, `detail`),
/// and `health` (the body of `/readyz`: `components`, `alarms`).
#[derive(Clone)]
pub struct Walk {
    ask: Arc<dyn Fn(String) -> BoxFuture<'static, anyhow::Result<Value>> + Send + Sync>,
}

impl Walk {
    /// Asks through `ask`, which is given the consumer's number.
    pub fn new<F>(ask: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<Value>> + Send + 'static,
    {
        Self { ask: Arc::new(move |number| ask(number).boxed()) }
    }

    /// There is no bridge to ask.
    pub fn none() -> Self {
        Self::new(async |_| Ok(json!({})))
    }

    /// A bridge that does not answer is something to show, not a reason to show nothing.
    pub(super) async fn look(&self, number: &str) -> Value {
        (self.ask)(number.to_owned()).await.unwrap_or_else(|error| json!({ "error": format!("{error:#}") }))
    }
}
