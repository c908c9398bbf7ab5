use jiff::Timestamp;
use model::{Address, Arrival, ChannelName, Family, MessageId, NeighbourName, Private, Receipt, SessionId, TraceId};
use serde::{Deserialize, Serialize};

/// The ledger did not do it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be opened as it is.
    #[error("{path}: {detail}")]
    Open {
        /// The ledger.
        path: String,
        /// What to do.
        detail: String,
    },
    /// There is none yet, and it is not to be made.
    #[error("{path}: there is no ledger yet; the first start of the bridge makes it, and `causeway ledger migrate`")]
    NotThere {
        /// The ledger.
        path: String,
    },
    /// Its schema is older than this build's, and is not to be changed.
    #[error(
        "{path}: the ledger has schema {found}, and this build writes schema {ours}; the next start brings it up to date, and \
         `causeway ledger migrate`"
    )]
    Older {
        /// The ledger.
        path: String,
        /// The schema it has.
        found: u32,
        /// The schema of this build.
        ours: u32,
    },
    /// It does not answer; try again.
    #[error("the ledger does not answer: {0}")]
    Unavailable(String),
}

/// One effect on the outside world: one message of one family.
#[derive(Debug, Clone)]
pub struct Effect {
    /// The family.
    pub family: Family,
    /// The message.
    pub id: MessageId,
    /// Its channel.
    pub channel: ChannelName,
    /// Whom the call goes to.
    pub target: NeighbourName,
    /// The consumer it is for or from, so that a person's timeline can be found.
    pub consumer: Address,
    /// The id Genesys knows it by.
    pub foreign_id: String,
    /// Its trace.
    pub trace: TraceId,
    /// When the house accepted it.
    pub received_at: Timestamp,
    /// Of a reply: between whom its receipts go.
    pub parties: Option<Parties>,
}

/// Between whom the receipts of a reply go: kept, so that one can be made when nothing but an id is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parties {
    /// The tenant that is told.
    pub genesys: NeighbourName,
    /// `channel.from.id` of the reply, byte for byte.
    pub from_id: Private<String>,
    /// `channel.to.id` of the reply, byte for byte.
    pub to_id: Private<String>,
    /// The recipient, normalised.
    pub to: Address,
}

/// All that is recorded of a consumer's message before an agent is given it.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Giving it to the agent.
    pub effect: Effect,
    /// How it came.
    pub arrival: Arrival,
    /// The provider's session, where one was named: remembered before the agent can answer.
    pub session: Option<SessionId>,
    /// Whether the provider can be asked which of its rows this is: then one that is merely like it decides nothing.
    pub can_look: bool,
}

/// What becomes of a consumer's message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameIn {
    /// Giving it to the agent was begun, or was done before.
    Begun(Begin),
    /// It is like this one, which was read at the provider. Nothing is recorded: whoever asks looks there first.
    Like(MessageId),
}

/// One attempt at an effect: 12 characters of `[0-9a-f]`, short enough to walk in a User-Agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptId(pub String);

/// What `begin` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// Nothing is known to have happened: this attempt is yours.
    First(AttemptId),
    /// It was done before, with this outcome.
    Done(Outcome),
    /// An earlier attempt began and nobody knows how it ended. Before `until` its owner may still be alive.
    Interrupted {
        /// The attempt.
        attempt: AttemptId,
        /// When it began.
        began: Timestamp,
        /// Its deadline: nobody reconciles or repeats it before.
        until: Timestamp,
        /// When this was answered, by the clock of the two times before: another machine's may differ from it by more than the
        /// looks at a provider are apart.
        now: Timestamp,
        /// How often this effect was begun without ever coming to an end: what tells a poisonous message.
        begun: u32,
    },
}

/// Begun this often without ever coming to an end, a message is poison: it brings down whoever works on it.
pub const POISON: u32 = 5;

/// Where an effect stands, for whoever only wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known to have happened.
    Untouched,
    /// An attempt began, and nobody knows how it ended.
    Open,
    /// It was done, with this outcome.
    Done(Outcome),
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was made; the id the far side gave it, where it gave one.
    Sent {
        /// The far side's id.
        foreign_id: Option<String>,
    },
    /// It was refused for good, with the receipt's code and reason where an agent is told.
    Failed {
        /// Code of the receipt.
        code: model::ReasonCode,
        /// A sentence for the agent.
        reason: String,
        /// The reason of its dead letter, where it was given up: the record is made first, and where the message comes again
        /// the letter may be missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dead: Option<String>,
    },
    /// It was the same message as another one.
    SameAs(MessageId),
    /// Nothing was to be done abroad; what it says is recorded.
    Recorded,
}

/// Whether an arrival is a new message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrivalVerdict {
    /// New.
    New,
    /// The message with this id came in by another path before.
    SameAs(MessageId),
}

/// Whether a receipt is to be emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptVerdict {
    /// Yes.
    Emit,
    /// This one was emitted before.
    Repeat,
    /// A later state was emitted before.
    Outdated,
    /// It was begun too often without ever coming to an end.
    Poison,
}

/// What a provider's report of a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// A reply of ours: this receipt says so.
    Matched(Box<Receipt>),
    /// Nothing that was recorded as sent yet; it is kept until that is, or until it is too old.
    Held,
}

/// Whether an effect may be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reopened {
    /// It is as if it had never been begun.
    Fresh,
    /// It was made, and stays so.
    AlreadySent,
    /// What was known of it was erased, and with it whether it may be made again.
    Erased,
    /// Somebody may be making it until then.
    InHand {
        /// The attempt's deadline.
        until: Timestamp,
    },
}

/// What a timeline line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The house accepted it.
    Received,
    /// An attempt began.
    Began,
    /// An attempt ended with nothing done abroad.
    Released,
    /// The effect was made.
    Sent,
    /// The effect was refused for good.
    Failed,
    /// An attempt was found interrupted.
    Interrupted,
    /// The provider was asked what became of an interrupted attempt.
    Looked,
    /// A receipt was emitted.
    Receipt,
    /// A receipt was dropped as repeated or outdated.
    ReceiptDropped,
    /// A file of it was not passed on, for the reason that stands there.
    Media,
    /// It was dead-lettered.
    Dead,
    /// It was put back from the dead letters, to be tried anew.
    Replayed,
    /// What its consumer wants was recorded.
    Consent,
    /// It was removed from the dead letters, for the reason that stands there.
    Discarded,
}

impl What {
    /// The word in listings and in the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Began => "began",
            Self::Released => "released",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Looked => "looked",
            Self::Receipt => "receipt",
            Self::ReceiptDropped => "receipt-dropped",
            Self::Media => "media",
            Self::Dead => "dead",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
            Self::Consent => "consent",
        }
    }

    pub(crate) const ALL: [Self; 14] = [
        Self::Received,
        Self::Began,
        Self::Released,
        Self::Sent,
        Self::Failed,
        Self::Interrupted,
        Self::Looked,
        Self::Receipt,
        Self::ReceiptDropped,
        Self::Media,
        Self::Dead,
        Self::Replayed,
        Self::Discarded,
        Self::Consent,
    ];
}

/// A line to add to a timeline.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The effect it is about.
    pub effect: Effect,
    /// What happened.
    pub what: What,
    /// In words; nothing private.
    pub detail: String,
}

/// A line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// The message.
    pub id: MessageId,
    /// Its family.
    pub family: Family,
    /// Its channel.
    pub channel: ChannelName,
    /// The id Genesys knows it by.
    pub foreign_id: String,
    /// Its trace.
    pub trace: TraceId,
    /// What happened.
    pub what: What,
    /// In words.
    pub detail: String,
}
