use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::grant::{Door, Failure, Kind, ask};
use super::record::{Record, Worth, fingerprint};
use super::{Auth, Login, TokenStore};
use crate::SendError;

/// How long a replica has for a login, before another one may try.
const LEASE: Duration = Duration::from_secs(30);
/// How often, and how many times, it is looked whether another replica is done.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKS: u32 = 12;
/// How soon the next token is asked for again, while the one that is there is good for calls.
const AGAIN: Duration = Duration::from_secs(10);

/// Keeps the token of an account, and renews it: one login at a time, whoever asks. Cheap to clone.
#[derive(Clone)]
pub(in crate::netsapiens) struct Keeper {
    inner: Arc<Inner>,
}

enum Inner {
    Key(SecretString),
    Login(Box<Held>),
}

struct Held {
    kind: Kind,
    login: Login,
    fingerprint: String,
    /// What replicas know it by.
    name: String,
    owner: String,
    store: Option<Arc<dyn TokenStore>>,
    record: Mutex<Option<Record>>,
    /// What can be known while somebody is at the login.
    told: std::sync::Mutex<Told>,
}

/// How the last look at the token ended.
#[derive(Default)]
struct Told {
    record: Option<Record>,
    /// It was not had, for a cause that may pass.
    failed: Option<(Instant, SendError)>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keeper(***)")
    }
}

impl Keeper {
    pub(in crate::netsapiens) fn new(
        auth: &Auth,
        account: &str,
        base_url: &str,
        store: Option<Arc<dyn TokenStore>>,
    ) -> Self {
        let held = |kind: Kind, login: &Login| {
            Inner::Login(Box::new(Held {
                kind,
                fingerprint: fingerprint(login, kind.word(), base_url),
                login: login.clone(),
                name: format!("netsapiens/{account}/token"),
                owner: Uuid::new_v4().simple().to_string(),
                store: store.clone(),
                record: Mutex::new(None),
                told: std::sync::Mutex::default(),
            }))
        };
        let inner = match auth {
            Auth::ApiKey(key) => Inner::Key(key.clone()),
            Auth::OAuth(login) => held(Kind::OAuth, login),
            Auth::Jwt(login) => held(Kind::Jwt, login),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether another token can be had for one that is refused.
    pub(in crate::netsapiens) fn renews(&self) -> bool {
        matches!(*self.inner, Inner::Login(_))
    }

    /// The token; another one than `spent`, which was refused.
    pub(in crate::netsapiens) async fn bearer(
        &self,
        door: &Door<'_>,
        spent: Option<&str>,
    ) -> Result<SecretString, SendError> {
        match &*self.inner {
            Inner::Key(key) => Ok(key.clone()),
            Inner::Login(held) => held.bearer(door, spent).await.map(SecretString::from),
        }
    }
}

/// What is to be done next.
enum Next {
    Take(String),
    Renew(Option<String>),
}

impl Held {
    /// One caller at a time is at the login. The others wait no longer than they have time, and take its failure for their own.
    async fn bearer(&self, door: &Door<'_>, spent: Option<&str>) -> Result<String, SendError> {
        let asked = Instant::now();
        let mut record = match self.record.try_lock() {
            Ok(record) => record,
            Err(_at_the_login) => {
                if let Some(access) = self.usable_meanwhile(door, spent) {
                    return Ok(access);
                }
                let Ok(record) = tokio::time::timeout(door.left(), self.record.lock()).await else {
                    return Err(later(door, "a login is not answered, and every call waits for it"));
                };
                record
            }
        };
        let usable = match self.judge(door, record.as_ref(), spent)? {
            Next::Take(access) => return Ok(access),
            Next::Renew(usable) => usable,
        };
        if let Some(told) = self.told_since(asked, usable.clone()) {
            return told;
        }
        let got = self.obtain(door, &mut record, spent, usable).await;
        let mut told = self.told();
        told.record.clone_from(&record);
        if let Err(why @ SendError::Later { .. }) = &got {
            told.failed = Some((Instant::now(), why.clone()));
        }
        got
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token that is good for this call, while the next one is fetched.
    fn usable_meanwhile(&self, door: &Door<'_>, spent: Option<&str>) -> Option<String> {
        match self.judge(door, self.told().record.as_ref(), spent) {
            Ok(Next::Take(access) | Next::Renew(Some(access))) => Some(access),
            Ok(Next::Renew(None)) | Err(_) => None,
        }
    }

    /// What the last look ended with, where another one would hardly tell more: it ended after this caller had asked, or a moment
    /// ago, while there is a token to be used.
    fn told_since(&self, asked: Instant, usable: Option<String>) -> Option<Result<String, SendError>> {
        let told = self.told();
        let (at, why) = told.failed.as_ref()?;
        match usable {
            Some(access) => (at.elapsed() < AGAIN).then_some(Ok(access)),
            None => (*at >= asked).then(|| Err(why.clone())),
        }
    }

    async fn obtain(
        &self,
        door: &Door<'_>,
        record: &mut Option<Record>,
        spent: Option<&str>,
        mut usable: Option<String>,
    ) -> Result<String, SendError> {
        let Some(store) = self.store.as_deref() else {
            let made = self.renew(door, record.as_ref()).await;
            return self.settle(door, record, made, usable);
        };
        for _ in 0..LOOKS {
            let leased = match self.look(store, record).await {
                Ok(()) => {
                    match self.judge(door, record.as_ref(), spent)? {
                        Next::Take(access) => return Ok(access),
                        Next::Renew(also) => usable = also.or(usable),
                    }
                    store.lease(&self.name, &self.owner, LEASE).await
                }
                Err(why) => Err(why),
            };
            match (leased, &usable) {
                (Ok(true), _) => return self.renew_alone(store, door, record, spent).await,
                // Whoever holds the lease, or the ledger, needs a moment, and the token is good for that long.
                (_, Some(access)) => return Ok(access.clone()),
                (Ok(false), None) => tokio::time::sleep(LOOK_EVERY).await,
                (Err(why), None) => return Err(later(door, &format!("its token cannot be shared: {why}"))),
            }
        }
        Err(later(door, "another process is logging in"))
    }

    /// Renews what no other replica has renewed meanwhile, and shares it.
    async fn renew_alone(
        &self,
        store: &dyn TokenStore,
        door: &Door<'_>,
        record: &mut Option<Record>,
        spent: Option<&str>,
    ) -> Result<String, SendError> {
        let version = match store.read(&self.name).await {
            Ok(found) => {
                let version = found.as_ref().map_or(0, |(_, version)| *version);
                *record = found.and_then(|(text, _)| Record::read(&text, &self.fingerprint)).or(record.take());
                version
            }
            Err(why) => return Err(later(door, &format!("its token cannot be shared: {why}"))),
        };
        let told = match self.judge(door, record.as_ref(), spent) {
            Ok(Next::Take(access)) => Ok(access),
            Ok(Next::Renew(usable)) => {
                let made = self.renew(door, record.as_ref()).await;
                let told = self.settle(door, record, made, usable);
                if let Some(made) = record.as_ref() {
                    match store.put(&self.name, version, &made.written()).await {
                        Ok(_) => {}
                        // It is in use all the same; replicas log in for themselves.
                        Err(why) => tracing::warn!(account = %door.account, why, "a new token cannot be shared"),
                    }
                }
                told
            }
            Err(refused) => Err(refused),
        };
        if let Err(why) = store.release(&self.name, &self.owner).await {
            tracing::debug!(account = %door.account, why, "the lease of a login ends by itself");
        }
        told
    }

    /// Takes what another replica has stored, where there is anything.
    async fn look(&self, store: &dyn TokenStore, record: &mut Option<Record>) -> Result<(), String> {
        let found = store.read(&self.name).await?;
        if let Some(found) = found.and_then(|(text, _)| Record::read(&text, &self.fingerprint)) {
            *record = Some(found);
        }
        Ok(())
    }

    fn judge(&self, door: &Door<'_>, record: Option<&Record>, spent: Option<&str>) -> Result<Next, SendError> {
        let Some(record) = record else { return Ok(Next::Renew(None)) };
        let access = || record.access.clone().unwrap_or_default();
        match record.worth(spent, door.now) {
            Worth::Good => Ok(Next::Take(access())),
            Worth::Fading => Ok(Next::Renew(Some(access()))),
            Worth::Spent => Ok(Next::Renew(None)),
            Worth::Refused(why) => Err(fault(door, &why)),
        }
    }

    /// The refresh token first; a refused one is followed by the password, once (section 2.1).
    async fn renew(&self, door: &Door<'_>, record: Option<&Record>) -> Result<Record, Failure> {
        if let Some(refresh) = record.and_then(|record| record.refresh.as_deref()) {
            match ask(door, self.kind, &self.login, &self.fingerprint, Some(refresh)).await {
                Err(Failure::Refused(why)) => {
                    tracing::info!(account = %door.account, why, "the refresh token is not taken; logging in anew")
                }
                other => return other,
            }
        }
        ask(door, self.kind, &self.login, &self.fingerprint, None).await
    }

    fn settle(
        &self,
        door: &Door<'_>,
        record: &mut Option<Record>,
        made: Result<Record, Failure>,
        usable: Option<String>,
    ) -> Result<String, SendError> {
        match made {
            Ok(made) => {
                let access = made.access.clone().unwrap_or_default();
                *record = Some(made);
                Ok(access)
            }
            Err(Failure::Later(later)) => {
                self.told().failed = Some((Instant::now(), later.clone()));
                usable.ok_or(later)
            }
            Err(Failure::Refused(why)) => {
                *record = Some(Record::refused(&self.fingerprint, &why, door.now));
                Err(fault(door, &why))
            }
        }
    }
}

fn later(door: &Door<'_>, why: &str) -> SendError {
    SendError::Later { after: None, throttled: false, cause: format!("provider {}: {why}", door.account) }
}

fn fault(door: &Door<'_>, why: &str) -> SendError {
    SendError::AccountFault { cause: format!("provider {}: {why}; check its auth", door.account) }
}
