//! Watches the providers: keeps their event subscriptions, and looks through their sessions for what events lost. One
//! replica at a time does it for a provider; it needs the ledger, which the doors do not.

use std::time::Duration;

use jiff::Timestamp;
use ledger::{Lease, Ledger, LedgerError};
use model::NeighbourName;
use runtime::{Alarm, Shutdown};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use crate::catch_up::CatchUp;
use crate::routes::Room;
use crate::subscription::{Keeper, Subscribe};

/// How one provider is watched.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The account.
    pub provider: NeighbourName,
    /// How often its sessions are looked through; only at the start and after an error of its subscription, where there is
    /// no time.
    pub poll: Option<Duration>,
    /// What is older is never given to an agent.
    pub max_age: Duration,
    /// Where the looking begins, instead of the moment of the first installation.
    pub begin: Option<Timestamp>,
    /// The subscription to keep.
    pub subscribe: Option<Subscribe>,
    /// Raised while a subscription is missing or ends soon.
    pub expiring: Alarm,
}

/// How long a replica is the one that watches, unless it says so again.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const AGAIN: Duration = Duration::from_secs(10);
/// How often the subscriptions are looked at (`reference/netsapiens.md` 5.1), and how soon after a failure.
const CHECK: Duration = Duration::from_secs(600);
const CHECK_FAILED: Duration = Duration::from_secs(60);

/// Watches one provider until the shutdown.
///
/// # Errors
/// None today: what fails is told and tried again.
pub async fn watch(plan: Watch, room: Room, ledger: Ledger, shutdown: Shutdown) -> anyhow::Result<()> {
    let post = Post::new(plan.provider.clone(), ledger);
    let started = room.clock.now();
    let mut watchman = Watchman {
        keeper: plan.subscribe.clone().map(Keeper::new),
        catch_up: CatchUp::new(&plan, started),
        next_poll: Some(Instant::now()),
        next_check: Instant::now(),
        plan,
        room,
    };
    loop {
        let next = tokio::select! {
            () = shutdown.stopping() => break,
            next = watchman.turn(&post) => next,
        };
        tokio::select! {
            () = shutdown.stopping() => break,
            () = sleep_until(next) => {}
        }
    }
    post.leave().await;
    Ok(())
}

/// The post of whoever watches a provider, or one of its mailboxes.
pub(crate) struct Post {
    name: NeighbourName,
    owner: String,
    pub(crate) ledger: Ledger,
}

impl Post {
    /// The post of this name, with a holder of its own.
    pub(crate) fn new(name: NeighbourName, ledger: Ledger) -> Self {
        Self { name, owner: uuid::Uuid::new_v4().to_string(), ledger }
    }

    /// Gives it up: a replica that stands by need not wait for the end of the lease.
    pub(crate) async fn leave(&self) {
        // It ends by itself where the ledger is away.
        let _ended = self.ledger.release_lease(&self.lease(), &self.owner).await;
    }

    fn lease(&self) -> String {
        format!("watch/{}", self.name)
    }

    /// Whether this replica is the one.
    pub(crate) async fn hold(&self) -> Result<bool, LedgerError> {
        Ok(matches!(self.ledger.lease(&self.lease(), &self.owner, LEASE).await?, Lease::Yours { .. }))
    }

    fn told(&self) -> String {
        format!("subscription/{}", self.name)
    }
}

/// What is known of a provider's subscriptions; all replicas tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// When the first of them ends.
    pub(crate) expires: Option<Timestamp>,
    /// What is wrong, and what to do.
    pub(crate) problem: Option<String>,
}

struct Watchman {
    plan: Watch,
    room: Room,
    keeper: Option<Keeper>,
    catch_up: CatchUp,
    next_poll: Option<Instant>,
    next_check: Instant,
}

impl Watchman {
    /// Does what is due; when to look again.
    async fn turn(&mut self, post: &Post) -> Instant {
        match post.hold().await {
            Ok(true) => self.work(post).await,
            // Whoever has it may be gone any time, and then everything is due.
            Ok(false) => {
                self.next_check = Instant::now();
                self.next_poll = Some(Instant::now());
            }
            Err(error) => {
                tracing::warn!(provider = %self.plan.provider, %error, "nobody knows who watches the provider");
            }
        }
        if self.keeper.is_some() {
            self.tell(post).await;
        }
        let soon = Instant::now() + AGAIN;
        // What was due and not done is not done any sooner.
        let due = self.next_poll.into_iter().chain(self.keeper.is_some().then_some(self.next_check));
        due.filter(|at| *at > Instant::now()).fold(soon, Instant::min)
    }

    async fn work(&mut self, post: &Post) {
        if Instant::now() >= self.next_check {
            self.check(post).await;
        }
        if self.next_poll.is_some_and(|at| Instant::now() >= at) {
            let directory = std::sync::Arc::clone(&self.room.directory.borrow());
            let began = Instant::now();
            let done = self.catch_up.run(&self.room, &directory, post).await;
            // Without an interval a look is over once it was made in full.
            self.next_poll = match (self.plan.poll, done) {
                (Some(every), _) => Some(began + every),
                (None, true) => None,
                (None, false) => Some(began + CHECK_FAILED),
            };
        }
    }

    async fn check(&mut self, post: &Post) {
        let Some(keeper) = &mut self.keeper else { return };
        let directory = std::sync::Arc::clone(&self.room.directory.borrow());
        let Some(provider) = directory.provider(self.plan.provider.as_str()) else { return };
        let kept = keeper.keep(provider, &directory.users(&self.plan.provider), self.room.clock.now()).await;
        let well = kept.told.as_ref().is_some_and(|told| told.problem.is_none());
        self.next_check = Instant::now() + if well { CHECK } else { CHECK_FAILED };
        if kept.lost_some {
            self.next_poll = Some(Instant::now());
        }
        let Some(value) = kept.told.and_then(|told| serde_json::to_string(&told).ok()) else { return };
        if let Err(error) = post.put(&post.told(), &value).await {
            tracing::warn!(provider = %self.plan.provider, %error, "the state of its subscriptions is not noted");
        }
    }

    /// Tells what the one that watches has found.
    async fn tell(&self, post: &Post) {
        let Ok(Some(mark)) = post.ledger.mark(&post.told()).await else { return };
        let Ok(told) = serde_json::from_str::<Told>(&mark.value) else { return };
        let (provider, now) = (self.plan.provider.to_string(), self.room.clock.now());
        if let Some(expires) = told.expires {
            let left = expires.duration_since(now).as_secs_f64();
            metrics::gauge!("causeway_subscription_expires_seconds", "provider" => provider).set(left);
        }
        match told.problem.or_else(|| crate::subscription::ends_soon(told.expires, now)) {
            Some(problem) => self.plan.expiring.raise(problem),
            None => self.plan.expiring.clear(),
        }
    }
}

impl Post {
    /// Puts a mark, whatever stood there.
    pub(crate) async fn put(&self, name: &str, value: &str) -> Result<(), LedgerError> {
        let known = self.ledger.mark(name).await?.map_or(0, |mark| mark.version);
        // Another replica that was faster knows as much.
        self.ledger.put_mark(name, known, value).await.map(drop)
    }
}
