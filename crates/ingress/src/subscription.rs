//! Keeps event subscriptions as they should be (`reference/netsapiens.md` 5.1): made, adopted, renewed, healed.

use std::collections::{BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use model::Private;
use sms::{Created, EventModel, Provider, SendError, Subscription, WantedSubscription};

use crate::watch::Told;

/// What subscriptions a provider is asked for.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Where the outside reaches us, without a slash at its end.
    pub public_url: String,
    /// The server that should post, a bare host.
    pub preferred_server: Option<String>,
}

/// How long a subscription is asked for: one that nobody renews ends.
const LIVES: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What is left when it is renewed, and when somebody is told because that does not work.
const RENEW: SignedDuration = SignedDuration::from_hours(7 * 24);
const TOO_LITTLE: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Says that a subscription ends soon, where it does.
pub(crate) fn ends_soon(expires: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let left = expires?.duration_since(now);
    (left < TOO_LITTLE).then(|| {
        format!(
            "the event subscription ends in {} hours and is not renewed; look at the log, or renew it by hand",
            left.as_hours()
        )
    })
}

/// What was found and made of it.
pub(crate) struct Kept {
    /// Nothing where they could not be looked at: what was known stays.
    pub(crate) told: Option<Told>,
    /// Whether events may have been lost.
    pub(crate) lost_some: bool,
}

/// Keeps the subscriptions of one provider.
pub(crate) struct Keeper {
    plan: Subscribe,
    /// Those that were in error and were mended by the last check.
    mended: HashSet<String>,
}

/// What one look at every subscription found and did.
#[derive(Default)]
struct Pass {
    changed: bool,
    lost_some: bool,
    mended: HashSet<String>,
    /// The first trouble, for whoever must act.
    problem: Option<String>,
}

impl Subscribe {
    fn url(&self, provider: &Provider) -> Option<Private<String>> {
        let path = provider.event_path()?;
        Some(format!("{}{}", self.public_url, path.expose()).into())
    }

    /// What is wrong with a provider's subscriptions, in words, without changing anything.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn look(
        &self,
        provider: &Provider,
        users: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Vec<String>, SendError> {
        let (found, name) = (provider.subscriptions().await?, provider.name());
        let Some(url) = self.url(provider) else { return Ok(Vec::new()) };
        let mut findings = Vec::new();
        for user in users {
            let Some(one) = found.iter().find(|one| one.user == *user && one.post_url == url) else {
                findings.push(format!("provider {name}: user {user} has no event subscription to this bridge; `causeway run` with the role ingress makes it"));
                continue;
            };
            if is_in_error(one) {
                findings.push(format!("provider {name}: the event subscription of user {user} is in error; check that http.public_url is reached from outside"));
            }
            if let Some(soon) = ends_soon(one.expires, now) {
                findings.push(format!("provider {name}, user {user}: {soon}"));
            }
        }
        Ok(findings)
    }
}

fn is_in_error(one: &Subscription) -> bool {
    one.status.eq_ignore_ascii_case("error")
}

impl Keeper {
    pub(crate) fn new(plan: Subscribe) -> Self {
        Self { plan, mended: HashSet::new() }
    }

    /// Looks at every subscription, and mends what is wrong.
    pub(crate) async fn keep(&mut self, provider: &Provider, users: &BTreeSet<String>, now: Timestamp) -> Kept {
        let found = match provider.subscriptions().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(provider = %provider.name(), %error, "the event subscriptions cannot be looked at");
                return Kept { told: None, lost_some: false };
            }
        };
        match self.mend(provider, users, found, now).await {
            Ok(kept) => kept,
            Err(error) => Kept { told: Some(Told { expires: None, problem: Some(cannot(&error)) }), lost_some: false },
        }
    }

    async fn mend(
        &mut self,
        provider: &Provider,
        users: &BTreeSet<String>,
        found: Vec<Subscription>,
        now: Timestamp,
    ) -> Result<Kept, SendError> {
        let Some(post_url) = self.plan.url(provider) else {
            return Ok(Kept { told: None, lost_some: false });
        };
        let wanted = |user: &String| WantedSubscription {
            model: EventModel::Messages,
            user: user.clone(),
            post_url: post_url.clone(),
            expires: now.saturating_add(LIVES).unwrap_or(Timestamp::MAX),
            preferred_server: self.plan.preferred_server.clone(),
        };
        let mut pass = Pass::default();
        for wanted in users.iter().map(wanted) {
            // What is wrong with one user's must not keep the others' from being made and renewed.
            if let Err(error) = self.mend_one(provider, &wanted, &found, &mut pass, now).await {
                tracing::warn!(provider = %provider.name(), %error, "an event subscription cannot be made or mended");
                pass.problem.get_or_insert_with(|| cannot(&error));
            }
        }
        self.mended = pass.mended;
        let found = if pass.changed { provider.subscriptions().await? } else { found };
        self.end_stale(provider, &found, &post_url).await?;
        let mut told = told(provider, users, &found, &post_url, now);
        told.problem = pass.problem.or(told.problem);
        Ok(Kept { told: Some(told), lost_some: pass.lost_some })
    }

    async fn mend_one(
        &self,
        provider: &Provider,
        wanted: &WantedSubscription,
        found: &[Subscription],
        pass: &mut Pass,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let mut same = found.iter().filter(|one| one.user == wanted.user && one.post_url == wanted.post_url);
        let Some(one) = same.next() else {
            pass.changed = true;
            pass.lost_some = true;
            return make(provider, wanted).await;
        };
        for twin in same {
            // It would post every event once more.
            provider.unsubscribe(twin).await?;
        }
        if is_in_error(one) {
            pass.changed = true;
            pass.lost_some = true;
            tracing::warn!(provider = %provider.name(), "an event subscription is in error; mending it");
            if self.mended.contains(&one.id) {
                pass.problem.get_or_insert_with(|| {
                    format!(
                        "an event subscription of provider {} is in error although it was mended; check that http.public_url \
                         is reached from outside",
                        provider.name()
                    )
                });
                provider.unsubscribe(one).await?;
                return make(provider, wanted).await;
            }
            pass.mended.insert(one.id.clone());
            return provider.renew(one, wanted).await;
        }
        if needs_renewal(one, now) {
            pass.changed = true;
            return provider.renew(one, wanted).await;
        }
        Ok(())
    }

    /// Those with a secret that was handed out before: their events come twice.
    async fn end_stale(
        &self,
        provider: &Provider,
        found: &[Subscription],
        post_url: &Private<String>,
    ) -> Result<(), SendError> {
        let prefix = format!("{}/netsapiens/{}/", self.plan.public_url, provider.name());
        let stale = |one: &&Subscription| one.post_url != *post_url && one.post_url.expose().starts_with(&prefix);
        for one in found.iter().filter(stale) {
            tracing::info!(provider = %provider.name(), "an event subscription with an earlier secret is ended");
            provider.unsubscribe(one).await?;
        }
        Ok(())
    }
}

fn cannot(error: &SendError) -> String {
    format!("an event subscription cannot be made or mended: {error}")
}

async fn make(provider: &Provider, wanted: &WantedSubscription) -> Result<(), SendError> {
    match provider.subscribe(wanted).await? {
        Created::Made => {
            tracing::info!(provider = %provider.name(), "an event subscription was made");
            Ok(())
        }
        Created::WasThere => adopt(provider, wanted).await,
    }
}

/// The platform says that there is one like it: it is looked for, and becomes ours.
async fn adopt(provider: &Provider, wanted: &WantedSubscription) -> Result<(), SendError> {
    let found = provider.subscriptions().await?;
    let Some(one) = found.iter().find(|one| one.user == wanted.user && one.post_url == wanted.post_url) else {
        let cause = format!(
            "provider {}: an event subscription is refused because there is one like it, and none is listed",
            provider.name()
        );
        return Err(SendError::Later { after: None, throttled: false, cause });
    };
    tracing::info!(provider = %provider.name(), "an event subscription that was there is adopted");
    provider.renew(one, wanted).await
}

/// One that ends soon, or that no server posts any more. One that has posted nothing yet names no server either.
fn needs_renewal(one: &Subscription, now: Timestamp) -> bool {
    let ends = one.expires.is_none_or(|expires| expires.duration_since(now) < RENEW);
    ends || (!one.has_server() && !one.status.eq_ignore_ascii_case("pending"))
}

fn told(
    provider: &Provider,
    users: &BTreeSet<String>,
    found: &[Subscription],
    post_url: &Private<String>,
    now: Timestamp,
) -> Told {
    let of = |user: &String| found.iter().find(|one| one.user == *user && one.post_url == *post_url);
    let missing = users.iter().filter(|user| of(user).is_none()).count();
    let expires = users.iter().filter_map(of).filter_map(|one| one.expires).min();
    let problem = (missing > 0).then(|| {
        let name = provider.name();
        format!("{missing} event subscriptions of provider {name} are missing and cannot be made; check its key and http.public_url")
    });
    Told { expires, problem: problem.or_else(|| ends_soon(expires, now)) }
}
