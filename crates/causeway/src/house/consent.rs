//! Who may be written to, looked at and set by an operator, over the control socket.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use ledger::{Consent, ConsentRecord, Effect, Ledger, When};
use model::{Address, ChannelName, Country, Family, MessageId, NeighbourName, PhoneNumber, TraceId};
use runtime::Clock;
use runtime::http_server::http_error;
use serde::{Deserialize, Serialize};

use crate::config::{ChannelKind, Config};

/// What records are looked at and set with.
#[derive(Clone)]
pub(crate) struct Consents {
    ledger: Option<Ledger>,
    channels: Arc<[Line]>,
    clock: Clock,
}

/// A channel on which people are written to.
struct Line {
    channel: ChannelName,
    provider: NeighbourName,
    country: Option<Country>,
    /// Whether this bridge sees to consent on it.
    ours: bool,
}

/// `GET /consent`: the records behind this channel and consumer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct After {
    pub(crate) channel: String,
    pub(crate) consumer: String,
}

/// `GET /consent/of`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Of {
    pub(crate) consumer: String,
    pub(crate) channel: Option<String>,
}

/// What holds for a consumer on a channel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Holds {
    pub(crate) channel: ChannelName,
    pub(crate) consent: Consent,
    /// `false` where the platform sees to consent itself, and records here have no effect.
    pub(crate) in_force: bool,
    /// `None` where nobody ever said anything.
    pub(crate) record: Option<ConsentRecord>,
}

/// `POST /consent`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Set {
    pub(crate) channel: String,
    pub(crate) consumer: String,
    pub(crate) consent: Consent,
    pub(crate) reason: String,
}

/// What `POST /consent` did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// `false` where it was so before.
    pub(crate) changed: bool,
    pub(crate) holds: Holds,
}

/// Why nothing was told or done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    /// What was asked for is not there, or is not what it should be.
    #[error("{0}")]
    Asked(String),
    /// This process keeps no ledger.
    #[error("this process plays no role that keeps the ledger; ask one that does")]
    NoLedger,
    /// The ledger does not answer.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let (status, word) = match &self {
            Self::Asked(_) => (StatusCode::NOT_FOUND, "not found"),
            Self::NoLedger => (StatusCode::NOT_FOUND, "no ledger here"),
            Self::Ledger(_) => (StatusCode::SERVICE_UNAVAILABLE, "not available"),
        };
        http_error(status, word, &self.to_string())
    }
}

impl Consents {
    pub(crate) fn new(config: &Config, ledger: Option<&Ledger>, clock: &Clock) -> Self {
        let lines = config.channels.iter().filter_map(|channel| match &channel.kind {
            ChannelKind::Sms { country, consent, .. } => Some(Line {
                channel: channel.name.clone(),
                provider: channel.provider.clone(),
                country: *country,
                ours: consent.is_some(),
            }),
            ChannelKind::Email(_) => None,
        });
        Self { ledger: ledger.cloned(), channels: lines.collect(), clock: clock.clone() }
    }

    fn ledger(&self) -> Result<&Ledger, Wrong> {
        self.ledger.as_ref().ok_or(Wrong::NoLedger)
    }

    /// The next page of records.
    pub(crate) async fn page(&self, after: After) -> Result<Vec<ConsentRecord>, Wrong> {
        Ok(self.ledger()?.consents((after.channel, after.consumer)).await?)
    }

    /// What holds for a consumer, on one channel or on all.
    pub(crate) async fn of(&self, of: &Of) -> Result<Vec<Holds>, Wrong> {
        let wanted = |line: &&Line| of.channel.as_ref().is_none_or(|name| line.channel.as_str() == name);
        let mut all = Vec::new();
        for line in self.channels.iter().filter(wanted) {
            let record = self.ledger()?.consent(&line.channel, &address(line, &of.consumer)?).await?;
            all.push(line.holds(record));
        }
        if all.is_empty() {
            return Err(Wrong::Asked(no_channel(of.channel.as_deref().unwrap_or("…"))));
        }
        Ok(all)
    }

    /// Sets what holds for a consumer on a channel.
    pub(crate) async fn set(&self, set: &Set) -> Result<Changed, Wrong> {
        if set.reason.trim().is_empty() {
            return Err(Wrong::Asked("a change needs a reason; it stands in the timeline".to_owned()));
        }
        let line = self.channels.iter().find(|line| line.channel.as_str() == set.channel);
        let line = line.ok_or_else(|| Wrong::Asked(no_channel(&set.channel)))?;
        let (consumer, now) = (address(line, &set.consumer)?, self.clock.now());
        let made_up = uuid::Uuid::new_v4().to_string();
        let id = MessageId::derive("co", &[&made_up]);
        let effect = Effect {
            family: Family::Replies,
            id: id.clone(),
            channel: line.channel.clone(),
            target: line.provider.clone(),
            consumer,
            foreign_id: id.to_string(),
            trace: TraceId::new(made_up),
            received_at: now,
            parties: None,
        };
        let reason = format!("set by an operator: {}", set.reason.trim());
        let record = self.ledger()?.set_consent(&effect, set.consent, (&reason, When::Now)).await?;
        let changed = record.as_ref().is_some_and(|record| record.by == id.as_str());
        tracing::warn!(channel = %line.channel, consent = set.consent.word(), changed, "consent was set by an operator");
        Ok(Changed { changed, holds: line.holds(record) })
    }
}

impl Line {
    fn holds(&self, record: Option<ConsentRecord>) -> Holds {
        let consent = record.as_ref().map_or(Consent::In, |record| record.consent);
        Holds { channel: self.channel.clone(), consent, in_force: self.ours, record }
    }
}

fn address(line: &Line, consumer: &str) -> Result<Address, Wrong> {
    let number = PhoneNumber::normalise(consumer, line.country);
    number.map(Address::Phone).map_err(|error| Wrong::Asked(format!("the consumer is no number: {error}")))
}

fn no_channel(name: &str) -> String {
    format!("{name} is no SMS channel here; `causeway channels` lists them")
}

/// `/consent` and what is under it.
pub(super) fn routes(consents: Consents) -> Router {
    Router::new().route("/consent", get(page).post(set)).route("/consent/of", get(of)).with_state(consents)
}

fn answer<T: Serialize>(result: Result<T, Wrong>) -> Response {
    result.map_or_else(IntoResponse::into_response, |value| Json(value).into_response())
}

async fn page(State(consents): State<Consents>, Query(after): Query<After>) -> Response {
    answer(consents.page(after).await)
}

async fn of(State(consents): State<Consents>, Query(asked): Query<Of>) -> Response {
    answer(consents.of(&asked).await)
}

async fn set(State(consents): State<Consents>, Json(asked): Json<Set>) -> Response {
    answer(consents.set(&asked).await)
}
