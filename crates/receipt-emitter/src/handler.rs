use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use broker::{Broker, Consume, Done, Failure, Handle, Rejection};
use genesys::{Blame, Channel, Directory, Refusal, channel_target};
use jiff::Timestamp;
use ledger::{Effect, Entry, Ledger, LedgerError, POISON, ReceiptVerdict, What, recorded};
use model::{Receipt, ReceiptStatus};
use runtime::{Clock, Shutdown};
use tokio::sync::watch;

/// What this room needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// How it takes from its queues.
    pub consume: Consume,
    /// No receipt is sent sooner than this after its webhook came in: Genesys learns the id from our answer to it, and a
    /// receipt that overtakes the answer may match nothing.
    pub hold: Duration,
}

/// The room's doors.
#[derive(Clone)]
pub struct Deps {
    /// Tenants and channels, which change when a secret file does.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// The queues.
    pub broker: Broker,
    /// What was told before.
    pub ledger: Ledger,
    /// The time.
    pub clock: Clock,
}

/// How long a receipt that Genesys cannot match yet is tried again.
const MATCHING: Duration = Duration::from_secs(60);
/// How soon.
const MATCHING_RETRY: Duration = Duration::from_secs(5);

/// Consumes `receipts` until the shutdown.
///
/// # Errors
/// A fault of the broker that no reconnect mends.
pub async fn run(config: Config, deps: Deps, shutdown: Shutdown) -> anyhow::Result<()> {
    let broker = deps.broker.clone();
    let room = Room { hold: config.hold, deps };
    broker.consume::<Receipt, _>(config.consume, Arc::new(room), shutdown).await
}

struct Room {
    hold: Duration,
    deps: Deps,
}

impl Handle<Receipt> for Room {
    fn targets(&self, receipt: &Receipt) -> Vec<String> {
        vec![channel_target(&receipt.genesys, &receipt.channel), receipt.genesys.to_string()]
    }

    fn paused(&self, account: &str, paused: bool) {
        self.deps.directory.borrow().paused(account, paused);
    }

    async fn handle(&self, receipt: &Receipt, _attempt: u32) -> Result<Done, Failure> {
        let age = age(self.deps.clock.now(), receipt.received_at);
        if let Some(wait) = self.hold.checked_sub(age).filter(|wait| !wait.is_zero()) {
            return Err(Failure::NotYet { after: wait });
        }
        let directory = Arc::clone(&self.deps.directory.borrow());
        let (channel, client) = directory.find(&receipt.channel).ok_or_else(|| Failure::Reject {
            code: "unknown-channel",
            cause: anyhow!("channel {} is not configured here any more; configure it and replay", receipt.channel),
        })?;
        match self.deps.ledger.receipt(receipt).await.map_err(ledger_down)? {
            ReceiptVerdict::Emit => {}
            ReceiptVerdict::Repeat | ReceiptVerdict::Outdated => return Ok(Done::Duplicate),
            ReceiptVerdict::Poison => {
                let cause =
                    anyhow!("begun {POISON} times and never ended; look at what it crashed before replaying it");
                return Err(Failure::Reject { code: "poison", cause });
            }
        }
        match client.send_receipt(&channel.access, receipt).await {
            Ok(()) => {
                channel.fault.clear();
                recorded(|| self.deps.ledger.receipt_emitted(receipt)).await.map_err(ledger_down)?;
                count(receipt);
                Ok(Done::Done)
            }
            Err(refusal) => {
                self.deps.ledger.receipt_released(receipt).await.map_err(ledger_down)?;
                Err(refused(&channel, receipt, refusal, age))
            }
        }
    }

    async fn before_dead_letter(&self, receipt: &Receipt, rejection: &Rejection) -> Result<(), Failure> {
        let detail = format!("{}: {}", rejection.reason.word(), rejection.detail);
        let entry = Entry { effect: Effect::from(receipt), what: What::Dead, detail };
        self.deps.ledger.note(entry).await.map_err(ledger_down)
    }
}

fn refused(channel: &Channel, receipt: &Receipt, refusal: Refusal, age: Duration) -> Failure {
    let cause = anyhow!("channel {}: {refusal}", receipt.channel);
    let young = age < MATCHING;
    let of_channel = || channel_target(&receipt.genesys, &receipt.channel);
    match refusal {
        // Genesys may not know the message yet that the receipt is about.
        Refusal::Never { code: "bad-request", .. } | Refusal::ChannelFault { status: 404, .. } if young => {
            tracing::debug!(channel = %receipt.channel, "not matched yet: {refusal}");
            Failure::NotYet { after: MATCHING_RETRY }
        }
        Refusal::Never { code, .. } => Failure::Reject { code, cause },
        Refusal::Later { after, blame: Blame::Message | Blame::Caller, .. } => Failure::Retry { after, cause },
        Refusal::Later { after, blame: Blame::Channel, .. } => {
            Failure::Unavailable { target: of_channel(), after, cause }
        }
        Refusal::Later { after, blame: Blame::Tenant, .. } => {
            Failure::Unavailable { target: receipt.genesys.to_string(), after, cause }
        }
        Refusal::ChannelFault { .. } => {
            channel.fault.raise(refusal.to_string());
            Failure::Fault { target: of_channel(), cause }
        }
    }
}

fn count(receipt: &Receipt) {
    let reason = match &receipt.status {
        ReceiptStatus::Failed(reason) => reason.code.number().to_string(),
        ReceiptStatus::Delivered | ReceiptStatus::Removed => String::new(),
    };
    let channel = receipt.channel.to_string();
    let status = receipt.status.word();
    metrics::counter!("causeway_receipts_total", "channel" => channel, "status" => status, "reason" => reason)
        .increment(1);
}

fn ledger_down(error: LedgerError) -> Failure {
    Failure::Unavailable { target: "ledger".to_owned(), after: None, cause: error.into() }
}

fn age(now: Timestamp, since: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
