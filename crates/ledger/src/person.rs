//! What the ledger holds of one consumer, and what is left when it is erased.

use jiff::{SignedDuration, Timestamp};
use model::{ChannelName, Family, MessageId, TraceId};
use serde::Serialize;

use crate::{ConsentRecord, Line};

/// An attempt is taken for one that still goes on up to this long after its deadline: longer than any message waits.
pub(crate) const GOES_ON: SignedDuration = SignedDuration::from_hours(7 * 24);
/// An arrival is needed this long to know its message when it comes by another path.
pub(crate) const ARRIVES_AGAIN: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Rows of one kind an export holds at the most; the newest count.
pub(crate) const ROWS: u32 = 100_000;

/// Everything the ledger holds of one consumer.
#[derive(Debug, Default, Serialize)]
pub struct Person {
    /// Messages from and to them.
    pub effects: Vec<KeptEffect>,
    /// What happened to these messages, the oldest line first.
    pub timeline: Vec<Line>,
    /// What agents were told of replies to them.
    pub receipts: Vec<KeptReceipt>,
    /// By which path their messages came in.
    pub arrivals: Vec<KeptArrival>,
    /// Their conversations at the provider.
    pub sessions: Vec<KeptSession>,
    /// The tasks at Genesys their conversations stand in.
    pub interactions: Vec<KeptTask>,
    /// Whether they want to be written to, channel by channel.
    pub consents: Vec<ConsentRecord>,
}

/// A message.
#[derive(Debug, Serialize)]
pub struct KeptEffect {
    /// Its family.
    pub family: Family,
    /// Its id.
    pub id: MessageId,
    /// Its channel.
    pub channel: ChannelName,
    /// Whom it was given to.
    pub target: String,
    /// The id Genesys knows it by.
    pub foreign_id: String,
    /// Its trace.
    pub trace: TraceId,
    /// When the house accepted it.
    pub received_at: Timestamp,
    /// How it ended, as the ledger writes it.
    pub outcome: Option<String>,
    /// The addresses of its receipts, as the ledger writes them.
    pub parties: Option<String>,
}

/// What an agent was told last of a reply.
#[derive(Debug, Serialize)]
pub struct KeptReceipt {
    /// The channel.
    pub channel: ChannelName,
    /// The id Genesys knows the reply by.
    pub foreign_id: String,
    /// The recipient, as Genesys wrote it.
    pub recipient: String,
    /// What was told.
    pub state: String,
    /// Whether Genesys has it.
    pub emitted: bool,
}

/// How a message came in.
#[derive(Debug, Serialize)]
pub struct KeptArrival {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub id: MessageId,
    /// The path.
    pub path: String,
    /// The hash by which it is known when it comes by another path.
    pub fingerprint: String,
    /// When.
    pub arrived_at: Timestamp,
}

/// A conversation at the provider.
#[derive(Debug, Serialize)]
pub struct KeptSession {
    /// The channel.
    pub channel: ChannelName,
    /// What the provider calls it.
    pub session: String,
    /// When it was used last.
    pub used_at: Timestamp,
}

/// A task at Genesys.
#[derive(Debug, Serialize)]
pub struct KeptTask {
    /// The channel.
    pub channel: ChannelName,
    /// What is known of it, as the ledger writes it.
    pub interaction: String,
    /// When something was put into it last.
    pub touched_at: Timestamp,
}

/// What became of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Erasure {
    /// It was made.
    Erased(Erased),
    /// Nothing was erased: so many messages of theirs are being sent, or looked for at the provider.
    InHand(u64),
}

/// What was erased, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Messages: their identity stays until it is forgotten, so that none is sent twice; addresses are gone.
    pub effects: u64,
    /// Lines of their timelines.
    pub timeline: u64,
    /// Receipts.
    pub receipts: u64,
    /// Arrivals.
    pub arrivals: u64,
    /// Sessions.
    pub sessions: u64,
    /// Tasks at Genesys; what stands in them there stays.
    pub interactions: u64,
    /// Ids and reports of the provider.
    pub reports: u64,
    /// Arrivals that stay for three days at most, without an address: a message may still come by another path.
    pub arrivals_kept: u64,
}

impl Erased {
    /// Counts another conversation of the same person.
    pub const fn add(&mut self, more: &Self) {
        self.effects += more.effects;
        self.timeline += more.timeline;
        self.receipts += more.receipts;
        self.arrivals += more.arrivals;
        self.sessions += more.sessions;
        self.interactions += more.interactions;
        self.reports += more.reports;
        self.arrivals_kept += more.arrivals_kept;
    }
}
