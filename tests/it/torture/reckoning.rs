//! What the far sides know: accepted, arrived, in which order, how often.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use runtime::Clock;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::troubles::Troubles;
use crate::town::Town;

#[derive(Default)]
pub(super) struct Reckoning {
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    texts: Side,
    replies: Side,
    /// Receipts of each reply, by Genesys' id.
    receipts: HashMap<String, Vec<String>>,
    ids: Vec<String>,
}

/// One direction.
#[derive(Default)]
struct Side {
    accepted: BTreeMap<(String, u32), Timestamp>,
    /// What reached each consumer, or the agent from each, in order.
    arrived: BTreeMap<String, Vec<(u32, Timestamp)>>,
    seen: u64,
}

/// What the far sides remember of each list (`sandbox`).
const KEPT: usize = 50_000;
/// The reason of a repeat for which nothing that went wrong accounts.
const UNEXPLAINED: &str = "unexplained";
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(250);

impl Reckoning {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panics over the books")
    }

    pub(super) fn text_accepted(&self, consumer: &str, number: u32) {
        self.books().texts.accepted.insert((consumer.to_owned(), number), Clock::system().now());
    }

    pub(super) fn reply_accepted(&self, consumer: &str, number: u32, id: String) {
        let mut books = self.books();
        books.replies.accepted.insert((consumer.to_owned(), number), Clock::system().now());
        books.ids.push(id);
    }

    /// Copies what the far sides have, again and again.
    pub(super) async fn watch(self: Arc<Self>, town: Arc<Town>, over: CancellationToken) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut receipts = 0;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = over.cancelled() => return,
            }
            // The count first: what came between the two is taken the next time.
            let total = town.genesys.message_count();
            let texts = town.genesys.messages().into_iter().map(|message| (message.from, message.text, message.at));
            self.books().texts.take(total, texts.collect());
            let total = town.netsapiens.sent_count();
            let replies = town.netsapiens.sent().into_iter().map(|sms| (sms.to, sms.text, sms.at));
            self.books().replies.take(total, replies.collect());
            let total = town.genesys.receipt_count();
            for receipt in newest(town.genesys.receipts(), &mut receipts, total) {
                self.books().receipts.entry(receipt.message_id).or_default().push(receipt.status);
            }
        }
    }

    /// Waits until everything accepted has arrived and every reply has its receipt; `false` when it has not in time.
    pub(super) async fn settle(&self, deadline: Instant) -> bool {
        let mut ticks = interval(LOOK);
        while Instant::now() < deadline {
            ticks.tick().await;
            let books = self.books();
            if books.texts.lost() == 0 && books.ids.iter().all(|id| books.receipts.contains_key(id)) {
                return true;
            }
        }
        false
    }

    pub(super) fn verdict(&self, troubles: &Troubles) -> Verdict {
        let books = self.books();
        let failed = books.receipts.values().filter(|told| told.iter().any(|status| status == "Failed")).count();
        Verdict {
            texts: books.texts.verdict(troubles),
            replies: books.replies.verdict(troubles),
            untold: books.ids.iter().filter(|id| !books.receipts.contains_key(*id)).count(),
            failed,
            told_twice: books.receipts.values().filter(|told| told.len() > 1).count(),
        }
    }
}

/// What is new of a list of which the newest are kept, and which held `total` ever before it was read.
fn newest<T>(kept: Vec<T>, seen: &mut u64, total: u64) -> impl Iterator<Item = T> + use<T> {
    // Until the list is full it may hold a little more than was counted; from then on its front has gone as well.
    assert!(kept.len() < KEPT, "the far sides remember too little for this run; make it shorter");
    let (seen_before, total) = (usize::try_from(*seen).expect("a number"), usize::try_from(total).expect("a number"));
    *seen = total as u64;
    kept.into_iter().take(total).skip(seen_before)
}

impl Side {
    fn take(&mut self, total: u64, kept: Vec<(String, String, Timestamp)>) {
        let mut seen = self.seen;
        for (consumer, text, at) in newest(kept, &mut seen, total) {
            let number = text.parse().expect("texts are numbers");
            self.arrived.entry(consumer).or_default().push((number, at));
        }
        self.seen = seen;
    }

    fn lost(&self) -> usize {
        let arrived = |(consumer, number): &&(String, u32)| {
            self.arrived.get(consumer).is_some_and(|row| row.iter().any(|(found, _)| found == number))
        };
        self.accepted.keys().filter(|key| !arrived(key)).count()
    }

    fn verdict(&self, troubles: &Troubles) -> SideVerdict {
        let mut verdict = SideVerdict { accepted: self.accepted.len(), lost: self.lost(), ..SideVerdict::default() };
        for (consumer, row) in &self.arrived {
            let mut highest = 0;
            let mut seen = BTreeMap::new();
            for (number, at) in row {
                if let Some(first) = seen.get(number) {
                    verdict.twice += 1;
                    *verdict.reasons.entry(troubles.reason(*first, *at).unwrap_or(UNEXPLAINED)).or_default() += 1;
                    continue;
                }
                seen.insert(*number, *at);
                verdict.disordered += usize::from(*number < highest);
                highest = highest.max(*number);
                if let Some(accepted) = self.accepted.get(&(consumer.clone(), *number)) {
                    // It may arrive before its sender has heard that it was accepted.
                    let stall = Duration::try_from(at.duration_since(*accepted)).unwrap_or_default();
                    verdict.stall = verdict.stall.max(stall);
                }
            }
            verdict.arrived += seen.len();
        }
        verdict
    }
}

#[derive(Default)]
struct SideVerdict {
    accepted: usize,
    arrived: usize,
    lost: usize,
    twice: usize,
    disordered: usize,
    stall: Duration,
    /// Why something came twice.
    reasons: BTreeMap<&'static str, usize>,
}

/// The end of a run.
pub(super) struct Verdict {
    texts: SideVerdict,
    replies: SideVerdict,
    untold: usize,
    failed: usize,
    told_twice: usize,
}

impl Verdict {
    /// Nothing lost, nothing out of order, nobody texted twice, every agent told. A consumer's message that the agent sees twice
    /// because Genesys' answer was lost is documented, and any other is a fault; a reply that was told as failed was not sent,
    /// and that is no loss.
    pub(super) fn is_good(&self) -> bool {
        let disordered = self.texts.disordered + self.replies.disordered;
        let unsent = self.replies.lost.saturating_sub(self.failed);
        let unexplained = self.texts.reasons.get(UNEXPLAINED).copied().unwrap_or(0);
        self.texts.lost + unsent + disordered + self.replies.twice + unexplained + self.untold == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| | accepted | arrived | lost | twice | out of order | longest stall |")?;
        writeln!(formatter, "|---|---|---|---|---|---|---|")?;
        for (name, side) in [("texts to the agent", &self.texts), ("replies to phones", &self.replies)] {
            let SideVerdict { accepted, arrived, lost, twice, disordered, stall, .. } = side;
            let stall = stall.as_secs_f64();
            writeln!(
                formatter,
                "| {name} | {accepted} | {arrived} | {lost} | {twice} | {disordered} | {stall:.1} s |"
            )?;
        }
        for (reason, times) in self.texts.reasons.iter().chain(&self.replies.reasons) {
            writeln!(formatter, "came twice: {times} ({reason})")?;
        }
        let Self { untold, failed, told_twice, .. } = self;
        write!(
            formatter,
            "replies without a receipt: {untold}; told as failed: {failed}; receipts told twice: {told_twice}"
        )
    }
}
