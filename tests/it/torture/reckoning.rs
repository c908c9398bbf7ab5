//! What the far sides know: accepted, arrived, in which order, how often.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use runtime::Clock;
use sandbox::{MailSim, ReceivedMessage, SentSms};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::post::Post;
use super::troubles::Troubles;
use crate::settings::MAIL_DOMAIN;
use crate::town::Town;

/// What a conversation is held in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Mail,
}

#[derive(Default)]
pub(super) struct Reckoning {
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    texts: Side,
    replies: Side,
    mails: Side,
    mail_replies: Side,
    /// Receipts of each reply, by Genesys' id.
    receipts: HashMap<String, Vec<String>>,
    ids: Vec<String>,
    /// What Genesys and the consumers' servers were seen to have.
    messages_seen: u64,
    replies_seen: u64,
    mail_replies_seen: u64,
}

/// One direction.
#[derive(Default)]
struct Side {
    accepted: BTreeMap<(String, u32), Timestamp>,
    /// What reached each consumer, or the agent from each, in order.
    arrived: BTreeMap<String, Vec<Arrival>>,
}

/// Something that reached its end.
struct Arrival {
    number: u32,
    at: Timestamp,
    /// What it is called there: copies of one mail have one Message-ID.
    id: Option<String>,
    /// Whether whoever took it said so; what was not answered is sent again.
    answered: bool,
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

    /// A consumer's message was accepted.
    pub(super) fn written(&self, kind: Kind, consumer: &str, number: u32) {
        let mut books = self.books();
        let side = if kind == Kind::Text { &mut books.texts } else { &mut books.mails };
        side.accepted.insert((consumer.to_owned(), number), Clock::system().now());
    }

    /// An agent's answer was accepted.
    pub(super) fn answered(&self, kind: Kind, consumer: &str, number: u32, id: String) {
        let mut books = self.books();
        let side = if kind == Kind::Text { &mut books.replies } else { &mut books.mail_replies };
        side.accepted.insert((consumer.to_owned(), number), Clock::system().now());
        books.ids.push(id);
    }

    /// Copies what the far sides have, again and again.
    pub(super) async fn watch(self: Arc<Self>, town: Arc<Town>, post: Arc<Post>, over: CancellationToken) {
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
            self.books().agent_saw(town.genesys.messages(), total);
            let total = town.netsapiens.sent_count();
            self.books().phones_saw(town.netsapiens.sent(), total);
            self.books().mailboxes_saw(&post.server);
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
            if books.texts.lost() + books.mails.lost() == 0
                && books.ids.iter().all(|id| books.receipts.contains_key(id))
            {
                return true;
            }
        }
        false
    }

    pub(super) fn verdict(&self, troubles: &Troubles) -> Verdict {
        let books = self.books();
        let failed = books.receipts.values().filter(|told| told.iter().any(|status| status == "Failed")).count();
        let agent = |side: &Side| side.verdict(|first, second| troubles.reason(first.at, second.at));
        Verdict {
            texts: agent(&books.texts),
            replies: books.replies.verdict(|_, _| None),
            mails: agent(&books.mails),
            mail_replies: books.mail_replies.verdict(|first, second| copied_because(first, second, troubles)),
            untold: books.ids.iter().filter(|id| !books.receipts.contains_key(*id)).count(),
            failed,
            told_twice: books.receipts.values().filter(|told| told.len() > 1).count(),
        }
    }
}

/// Why a mail was sent a second time: nobody could know that it had been taken, and then it is sent again under its Message-ID
/// (`when_unsure = "resend"`).
fn copied_because(first: &Arrival, second: &Arrival, troubles: &Troubles) -> Option<&'static str> {
    match first.id == second.id {
        true if !first.answered => Some("the mail server took it and did not say so"),
        true => troubles.mail_reason(first.at),
        false => None,
    }
}

impl Books {
    fn agent_saw(&mut self, messages: Vec<ReceivedMessage>, total: u64) {
        let mut seen = self.messages_seen;
        for message in newest(messages, &mut seen, total) {
            let side = if message.channel_id == MAIL_DOMAIN { &mut self.mails } else { &mut self.texts };
            let number = message.text.trim().parse().expect("texts are numbers");
            side.arrived(message.from, Arrival { number, at: message.at, id: message.message_id, answered: true });
        }
        self.messages_seen = seen;
    }

    fn phones_saw(&mut self, texts: Vec<SentSms>, total: u64) {
        let mut seen = self.replies_seen;
        for sms in newest(texts, &mut seen, total) {
            let number = sms.text.parse().expect("texts are numbers");
            self.replies.arrived(sms.to, Arrival { number, at: sms.at, id: None, answered: true });
        }
        self.replies_seen = seen;
    }

    fn mailboxes_saw(&mut self, server: &MailSim) {
        for mail in server.delivered_after(self.mail_replies_seen) {
            let number = mail.text.trim().parse().expect("texts are numbers");
            let (id, answered) = (Some(mail.message_id), mail.answered);
            self.mail_replies.arrived(mail.to, Arrival { number, at: mail.at, id, answered });
            self.mail_replies_seen += 1;
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
    fn arrived(&mut self, consumer: String, arrival: Arrival) {
        self.arrived.entry(consumer).or_default().push(arrival);
    }

    fn lost(&self) -> usize {
        let arrived = |(consumer, number): &&(String, u32)| {
            self.arrived.get(consumer).is_some_and(|row| row.iter().any(|found| found.number == *number))
        };
        self.accepted.keys().filter(|key| !arrived(key)).count()
    }

    fn verdict(&self, why: impl Fn(&Arrival, &Arrival) -> Option<&'static str>) -> SideVerdict {
        let mut verdict = SideVerdict { accepted: self.accepted.len(), lost: self.lost(), ..SideVerdict::default() };
        for (consumer, row) in &self.arrived {
            let mut highest = 0;
            // The last of each: what is sent a third time is so because of the second.
            let mut seen = BTreeMap::<u32, &Arrival>::new();
            for arrival in row {
                let Arrival { number, at, .. } = arrival;
                if let Some(before) = seen.insert(*number, arrival) {
                    verdict.twice += 1;
                    *verdict.reasons.entry(why(before, arrival).unwrap_or(UNEXPLAINED)).or_default() += 1;
                    continue;
                }
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
    mails: SideVerdict,
    mail_replies: SideVerdict,
    untold: usize,
    failed: usize,
    told_twice: usize,
}

impl Verdict {
    fn rows(&self) -> [(&'static str, &SideVerdict); 4] {
        [
            ("texts to the agent", &self.texts),
            ("replies to phones", &self.replies),
            ("mails to the agent", &self.mails),
            ("mails to consumers", &self.mail_replies),
        ]
    }

    /// Nothing lost, nothing out of order, nobody texted twice, every agent told. A consumer's message that the agent sees twice
    /// because Genesys' answer was lost is documented, as is a mail that is sent again because nobody knows whether it was
    /// taken, and any other is a fault; a reply that was told as failed was not sent, and that is no loss.
    pub(super) fn is_good(&self) -> bool {
        let disordered = self.rows().iter().map(|(_, side)| side.disordered).sum::<usize>();
        let unexplained = self.rows().iter().filter_map(|(_, side)| side.reasons.get(UNEXPLAINED)).sum::<usize>();
        let unsent = (self.replies.lost + self.mail_replies.lost).saturating_sub(self.failed);
        self.texts.lost + self.mails.lost + unsent + disordered + self.replies.twice + unexplained + self.untold == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| | accepted | arrived | lost | twice | out of order | longest stall |")?;
        writeln!(formatter, "|---|---|---|---|---|---|---|")?;
        for (name, side) in self.rows() {
            let SideVerdict { accepted, arrived, lost, twice, disordered, stall, .. } = side;
            let stall = stall.as_secs_f64();
            writeln!(
                formatter,
                "| {name} | {accepted} | {arrived} | {lost} | {twice} | {disordered} | {stall:.1} s |"
            )?;
        }
        for (name, side) in self.rows() {
            for (reason, times) in &side.reasons {
                writeln!(formatter, "twice among {name}: {times} ({reason})")?;
            }
        }
        let Self { untold, failed, told_twice, .. } = self;
        write!(
            formatter,
            "replies without a receipt: {untold}; told as failed: {failed}; receipts told twice: {told_twice}"
        )
    }
}
