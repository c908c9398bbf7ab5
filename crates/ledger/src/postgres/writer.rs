use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use runtime::{Backoff, Clock};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::dial::Dial;
use super::fault::{FASTER, Fault};
use super::link::{Link, in_time};
use super::load::{Hand, Patience, load};
use super::looks::{Caller, Look, answer, now, tell};
use super::retention;
use super::save::save;
use super::schema::Refusal;
use super::store::{Answer, Request, Run};
use super::{Book, Wants, millis, person};
use crate::Erasure;

/// Jobs in one transaction, at the most.
const GROUP: usize = 256;
/// How often a group is run again because other processes were faster, before it is split.
const TRIES: u32 = 5;
/// Attempts nobody had that are kept in mind; one that is forgotten is only taken for interrupted.
const ABANDONED: usize = 10_000;
/// How often finished business is looked through for what is older than it is kept.
const RETENTION_EVERY: i64 = 60_000;
/// Between two tries to reach the database.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

type Group = Vec<Box<dyn Run>>;

/// The one who writes.
pub(super) struct Writer {
    dial: Dial,
    link: Option<Link>,
    /// Whether it was ever open: from then on its tables are looked for, never made.
    opened: bool,
    down: Down,
    /// Where the time is given.
    clock: Option<Clock>,
    retain: Duration,
    retained_at: i64,
    owner: String,
    abandoned: HashSet<String>,
}

/// What is known of a database that is not reached.
struct Down {
    tries: u32,
    until: Instant,
    why: String,
}

/// What became of a group.
enum End {
    Done(Timestamp),
    Failed(Fault),
}

impl Writer {
    pub(super) fn new(dial: Dial, link: Option<Link>, clock: Option<Clock>, retain: Duration) -> Self {
        let down = Down { tries: 0, until: Instant::now(), why: String::new() };
        Self {
            dial,
            opened: link.is_some(),
            link,
            down,
            clock,
            retain,
            retained_at: i64::MIN,
            owner: Uuid::new_v4().simple().to_string(),
            abandoned: HashSet::new(),
        }
    }

    /// Works until the last caller is gone.
    pub(super) async fn serve(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut waiting = Vec::with_capacity(GROUP);
        while queue.recv_many(&mut waiting, GROUP).await > 0 {
            let (mut runs, mut looks, mut erasures, mut tidy) = (Group::new(), Vec::new(), Vec::new(), false);
            for request in waiting.drain(..) {
                match request {
                    Request::Run(run) => runs.push(run),
                    Request::Look(look) => looks.push(look),
                    Request::Erase(consumer, caller) => erasures.push((consumer, caller)),
                    Request::Tidy => tidy = true,
                }
            }
            if let Err(why) = self.connected().await {
                refuse(runs, &why);
                looks.into_iter().for_each(|look| look.refuse(&why));
                erasures.into_iter().for_each(|(_, caller)| tell(caller, Err(why.clone())));
                continue;
            }
            if tidy {
                self.tidy().await;
            }
            self.look(looks).await;
            for (consumer, caller) in erasures {
                self.erase(&consumer, caller).await;
            }
            self.write(runs).await;
        }
    }

    /// Makes sure of a connection, or says why there is none. Nobody waits for a try that is not due.
    async fn connected(&mut self) -> Result<(), String> {
        if self.link.as_ref().is_some_and(|link| !link.is_closed()) {
            return Ok(());
        }
        self.link = None;
        if Instant::now() < self.down.until {
            return Err(self.down.why.clone());
        }
        let why = match timeout(self.dial.patience(), Link::open(&self.dial, !self.opened)).await {
            Ok(Ok((link, _schema))) => {
                (self.link, self.opened) = (Some(link), true);
                return Ok(());
            }
            Ok(Err(Refusal::Unfit(why) | Refusal::Unknown(why))) => why,
            Err(_late) => format!("no answer within {} ms", self.dial.patience().as_millis()),
        };
        self.lost(why.clone());
        Err(why)
    }

    /// It did something: a connection alone says little of a server whose disk is full.
    fn well(&mut self) {
        if self.down.tries > 0 {
            tracing::info!("the ledger answers again");
        }
        self.down.tries = 0;
    }

    /// Gives the connection up.
    fn lost(&mut self, why: String) {
        self.link = None;
        if self.down.tries == 0 {
            tracing::error!(why, "the ledger does not answer; roles that need it hold until it does");
        }
        self.down.tries = self.down.tries.saturating_add(1);
        self.down.until = Instant::now() + BACKOFF.wait(self.down.tries);
        self.down.why = why;
    }

    async fn look(&mut self, looks: Vec<Look>) {
        let Some(link) = &self.link else {
            return looks.into_iter().for_each(|look| look.refuse(&self.down.why));
        };
        let given = self.clock.as_ref().map(Clock::now);
        let looked = join_all(looks.into_iter().map(|look| look.look(link, given))).await;
        match looked.into_iter().collect::<Result<Vec<()>, _>>() {
            Ok(all) if all.is_empty() => {}
            Ok(_) => self.well(),
            Err(why) => self.lost(why),
        }
    }

    /// In a transaction of its own, beside no other work of this process.
    async fn erase(&mut self, consumer: &str, caller: Caller<Erasure>) {
        let Some(link) = &self.link else { return tell(caller, Err(self.down.why.clone())) };
        let now = match &self.clock {
            Some(clock) => Ok(clock.now()),
            None => in_time(now(link)).await,
        };
        let erased = match now {
            Ok(now) => in_time(person::erase(link, consumer, now)).await,
            Err(fault) => Err(fault),
        };
        let erased = match erased {
            Err(fault) => Err(rolled_back(link, fault).await),
            erased => erased,
        };
        match answer(caller, erased) {
            Ok(()) => self.well(),
            Err(why) => self.lost(why),
        }
    }

    /// Runs a group in one transaction. Where one of it cannot be done, each half is tried by itself, down to the one.
    async fn write(&mut self, group: Group) {
        let mut left = vec![(group, 1, Patience::Usual)];
        let mut done = None;
        while let Some((mut group, tries, patience)) = left.pop() {
            group.retain(|run| run.is_wanted());
            if group.is_empty() {
                continue;
            }
            match self.transaction(&group, patience).await {
                End::Done(now) => done = Some(now),
                End::Failed(Fault::Lost(why)) => {
                    let rest = left.drain(..).flat_map(|(group, ..)| group);
                    refuse(group.into_iter().chain(rest).collect(), &why);
                    return self.lost(why);
                }
                End::Failed(Fault::Again) if tries < TRIES => left.push((group, tries + 1, patience)),
                End::Failed(Fault::Refused(why)) if group.len() == 1 => refuse(group, &why),
                End::Failed(Fault::Again) if group.len() == 1 => refuse(group, FASTER),
                End::Failed(_) => {
                    let half = group.split_off(group.len() / 2);
                    left.extend([(half, 1, Patience::Little), (group, 1, Patience::Little)]);
                }
            }
        }
        if let Some(now) = done {
            self.well();
            self.retain(now).await;
        }
    }

    async fn transaction(&mut self, group: &Group, patience: Patience) -> End {
        let Some(link) = &self.link else { return End::Failed(Fault::Lost(self.down.why.clone())) };
        let mut wants = Wants::default();
        group.iter().for_each(|run| wants.and(run.wants()));
        let now = self.clock.as_ref().map(Clock::now);
        let hand = Hand { owner: &self.owner, abandoned: &self.abandoned, now };
        let mut book = match in_time(load(link, &hand, &wants, patience)).await {
            Ok(book) => book,
            Err(fault) => return End::Failed(rolled_back(link, fault).await),
        };
        let jobs: Vec<_> = group.iter().map(|run| one(&mut book, run.as_ref())).collect();
        let (saved, now) = (in_time(save(link, &book)).await, book.now);
        drop(book);
        match saved {
            Ok(()) => {
                for (answer, opened) in jobs {
                    if !answer() {
                        self.abandon(opened);
                    }
                }
                End::Done(now)
            }
            Err(fault) => {
                // Nobody knows whether a commit that was not answered was made.
                if matches!(fault, Fault::Lost(_)) {
                    jobs.into_iter().for_each(|(_, opened)| self.abandon(opened));
                }
                End::Failed(fault)
            }
        }
    }

    /// Keeps in mind that nobody has these attempts, so that the effect is not taken for interrupted.
    fn abandon(&mut self, opened: Vec<String>) {
        if self.abandoned.len() >= ABANDONED {
            self.abandoned.clear();
        }
        self.abandoned.extend(opened);
    }

    async fn tidy(&mut self) {
        let Some(link) = &self.link else { return };
        let now = match &self.clock {
            Some(clock) => Ok(clock.now()),
            None => in_time(now(link)).await,
        };
        match now {
            Ok(now) => self.retain(now).await,
            Err(Fault::Lost(why) | Fault::Refused(why)) => self.lost(why),
            Err(Fault::Again) => {}
        }
    }

    /// Forgets what is older than it is kept, a little at a time.
    async fn retain(&mut self, now: Timestamp) {
        let Some(link) = &self.link else { return };
        if millis(now).saturating_sub(self.retained_at) < RETENTION_EVERY {
            return;
        }
        let keep = i64::try_from(self.retain.as_millis()).unwrap_or(i64::MAX);
        let forgotten = async {
            let forgotten = retention::forget(link, millis(now), millis(now).saturating_sub(keep)).await;
            forgotten.map_err(|error| Fault::of(&error))
        };
        let forgotten = in_time(forgotten).await;
        // As long as there is more to forget, the next group goes on with it.
        if !matches!(forgotten, Ok(true)) {
            self.retained_at = millis(now);
        }
        match forgotten {
            Ok(_) => {}
            Err(Fault::Lost(why)) => self.lost(why),
            Err(Fault::Refused(_) | Fault::Again) => {
                tracing::warn!("old business in the ledger could not be forgotten; it is tried again in a minute");
            }
        }
    }
}

/// Runs one job; the answer it has to give after the commit, and the attempts it began.
fn one(book: &mut Book<'_>, run: &dyn Run) -> (Answer, Vec<String>) {
    let answer = run.run(book);
    let opened = std::mem::take(&mut book.opened);
    let answer = answer.unwrap_or_else(|why| {
        run.refuse(why);
        Box::new(|| true)
    });
    (answer, opened)
}

/// A connection that is used again is in no transaction.
async fn rolled_back(link: &Link, fault: Fault) -> Fault {
    if let Fault::Lost(_) = fault {
        return fault;
    }
    let rollback = async { link.client.batch_execute("ROLLBACK").await.map_err(|error| Fault::of(&error)) };
    match in_time(rollback).await {
        Ok(()) => fault,
        Err(Fault::Lost(why) | Fault::Refused(why)) => Fault::Lost(why),
        Err(Fault::Again) => Fault::Lost(FASTER.to_owned()),
    }
}

fn refuse(runs: Group, why: &str) {
    runs.into_iter().for_each(|run| run.refuse(why.to_owned()));
}
