use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{NeighbourName, PhoneNumber, Private, SessionId};
use runtime::{Answer, Call, Clock, HttpClient, url_segment};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use subtle::{Choice, ConstantTimeEq};

use super::answer::Trouble;
use super::auth::{Auth, Door, Keeper, TokenStore};
use super::post::Outgoing;
use super::{answer, derive_session, event, history, session};
use crate::{Look, ReadEvents, SendError, SendRequest, Sent, Unreadable};

/// One account.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its configured name; the `target` in metrics.
    pub name: NeighbourName,
    /// Including `/ns-api/v2`.
    pub base_url: String,
    /// The domain.
    pub domain: String,
    /// How it logs in.
    pub auth: Auth,
    /// Secrets of the event URL; the first is handed out, all are accepted.
    pub webhook_secrets: Vec<SecretString>,
    /// The zone of its naive timestamps.
    pub time_zone: TimeZone,
    /// The company's numbers on this account, digits, so that own messages are recognised.
    pub own_numbers: Vec<String>,
    /// Hosts beside that of `base_url` whose URLs of pictures are followed; `.example.com` is every host below.
    pub media_hosts: Vec<String>,
}

/// Calls one account.
#[derive(Debug, Clone)]
pub struct Account {
    pub(super) config: Config,
    keeper: Keeper,
    pub(super) http: HttpClient,
    clock: Clock,
    pub(super) timeout: Duration,
}

/// A send takes no longer, whatever calls it is made of: its caller takes an attempt for dead soon after, and repeats it.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A megabyte takes longer than a text.
const FILE_FACTOR: u32 = 3;
/// A call is not made in less than this part of its time.
const WORTHWHILE: u32 = 10;
/// Sessions of a user a look reads, and how many of the right pair of numbers it asks.
const SESSIONS_LIMIT: u32 = 200;
const SESSIONS_ASKED: usize = 5;
/// Rows a look reads: a conversation's newest messages.
const LOOK_LIMIT: u32 = 50;

impl Account {
    /// A client of one account. Without a store, each client logs in for itself.
    pub fn new(config: Config, http: HttpClient, clock: Clock, store: Option<Arc<dyn TokenStore>>) -> Self {
        let keeper = Keeper::new(&config.auth, config.name.as_str(), &config.base_url, store);
        Self { config, keeper, http, clock, timeout: TIMEOUT }
    }

    /// Its configured name.
    pub fn name(&self) -> &NeighbourName {
        &self.config.name
    }

    /// The account's token, for a call that is made elsewhere.
    pub(super) async fn bearer(&self) -> Result<SecretString, SendError> {
        let door = Door {
            account: &self.config.name,
            base_url: &self.config.base_url,
            http: &self.http,
            now: self.clock.now(),
            until: Instant::now() + self.timeout,
        };
        self.keeper.bearer(&door, None).await
    }

    /// One call with the account's token. One that is refused is renewed, and the call repeated, once: a 401 did nothing.
    pub(super) async fn call(&self, operation: &'static str, call: Call) -> Result<Answer, Trouble> {
        let (until, name) = (Instant::now() + call.timeout, &self.config.name);
        let mut spent: Option<SecretString> = None;
        loop {
            let door =
                Door { account: name, base_url: &self.config.base_url, http: &self.http, now: self.clock.now(), until };
            let token = self.keeper.bearer(&door, spent.as_ref().map(ExposeSecret::expose_secret)).await?;
            // A call that is cut off at once may have been heard, and nobody would know what it did.
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || left < call.timeout / WORTHWHILE {
                let cause = format!("provider {name}: its login took the time of the call, which was not made");
                return Err(SendError::Later { after: None, throttled: false, cause }.into());
            }
            let mut next = Call { timeout: left, ..call.clone() };
            // A token that no header can carry is left out: the server's 401 then tells the operator.
            if let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())) {
                bearer.set_sensitive(true);
                next.headers.insert(header::AUTHORIZATION, bearer);
            }
            let answer = self.http.call(name.as_str(), operation, next).await?;
            if answer.status != StatusCode::UNAUTHORIZED || !self.keeper.renews() || spent.is_some() {
                return Ok(answer);
            }
            spent = Some(token);
        }
    }

    pub(crate) async fn send(&self, request: &SendRequest) -> Result<Sent, SendError> {
        let began = Instant::now();
        let session = session_of(request);
        let body = Outgoing::from(request).body();
        let timeout = self.timeout.saturating_mul(if request.file.is_some() { FILE_FACTOR } else { 1 });
        let timeout = timeout.min(request.within);
        let route = format!("messagesessions/{}/messages", url_segment(session.as_str()));
        let answered = self.post(request, &route, body.clone(), timeout).await;
        // Old servers have no such route; the one without a session starts one (section 3.2).
        let answered = match answered {
            Ok(answer) if answer.status.as_u16() == 404 => {
                let left = timeout.saturating_sub(began.elapsed());
                self.post(request, "messages", body, left).await
            }
            answered => answered,
        };
        answer::sent(&self.config.name, answered, session, self.clock.now())
    }

    async fn post(
        &self,
        request: &SendRequest,
        route: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, Trouble> {
        let call = Call {
            method: Method::POST,
            url: self.user_url(&request.user, route),
            headers: self.headers(&request.attempt),
            body,
            timeout,
        };
        self.call("send", call).await
    }

    pub(crate) async fn look(
        &self,
        request: &SendRequest,
        began: Timestamp,
        claimed: &[String],
    ) -> Result<Look, SendError> {
        let own = session_of(request);
        let mut sessions = vec![own.clone()];
        let mut asked = 0;
        while let Some(session) = sessions.get(asked) {
            let route = format!("messagesessions/{}/messages?limit={LOOK_LIMIT}", url_segment(session.as_str()));
            let rows = self.list(&request.user, "look", &route).await?;
            match history::find(&rows, request, began, &self.config.time_zone, claimed) {
                Look::NotThere => {}
                found => return Ok(found),
            }
            asked += 1;
            if asked == 1 {
                // A server without the session's route made a session of its own, whose id we were never told.
                let rows = self.list(&request.user, "look", &format!("messagesessions?limit={SESSIONS_LIMIT}")).await?;
                sessions.extend(history::sessions(&rows, request, &own).take(SESSIONS_ASKED));
            }
        }
        Ok(Look::NotThere)
    }

    /// A list of a user's; `operation` is what metrics call the reading of it.
    pub(super) async fn list(&self, user: &str, operation: &'static str, route: &str) -> Result<Vec<Value>, SendError> {
        let call = Call {
            method: Method::GET,
            url: self.user_url(user, route),
            headers: self.headers(""),
            body: Bytes::new(),
            timeout: self.timeout,
        };
        let answered = self.call(operation, call).await;
        answer::rows(&self.config.name, answered, self.clock.now())
    }

    /// One call on a path below the base URL.
    pub(super) async fn exchange(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, Trouble> {
        let (url, headers) = (format!("{}{path}", self.config.base_url), self.headers(""));
        self.call(operation, Call { method, url, headers, body, timeout: self.timeout }).await
    }

    /// The key's own limits (section 2.2); of another login, whether it is taken.
    pub(crate) async fn check(&self) -> Result<Vec<String>, SendError> {
        let (name, now) = (&self.config.name, self.clock.now());
        if self.keeper.renews() {
            let answered = self.exchange("check", Method::GET, "/version", Bytes::new()).await;
            return answer::login(name, answered, now);
        }
        let answered = self.exchange("check", Method::GET, "/apikeys/~", Bytes::new()).await;
        answer::key(name, answered, now)
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn accepts_secret(&self, secret: &str) -> bool {
        let given = secret.as_bytes();
        let matches = |known: &SecretString| known.expose_secret().as_bytes().ct_eq(given);
        bool::from(self.config.webhook_secrets.iter().map(matches).fold(Choice::from(0), |found, one| found | one))
    }

    /// Where its events are posted to, below our own URL; nothing without a secret. Nothing but what a firewall lets pass: the
    /// secret is in the path, and there is no query (section 5.1).
    pub fn event_path(&self) -> Option<Private<String>> {
        let secret = self.config.webhook_secrets.first()?.expose_secret();
        Some(format!("/netsapiens/{}/{}", url_segment(self.config.name.as_str()), url_segment(secret)).into())
    }

    pub(crate) fn read_events(&self, body: &[u8]) -> Result<ReadEvents, Unreadable> {
        event::read(body, &self.config)
    }

    fn user_url(&self, user: &str, route: &str) -> String {
        let Config { base_url, domain, .. } = &self.config;
        format!("{base_url}/domains/{}/users/{}/{route}", url_segment(domain), url_segment(user))
    }

    fn headers(&self, attempt: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(agent) = HeaderValue::from_str(&history::user_agent(attempt)) {
            headers.insert(header::USER_AGENT, agent);
        }
        headers
    }
}

/// The conversation's session where one is known and can be used, otherwise the derived one.
fn session_of(request: &SendRequest) -> SessionId {
    let known = request.session.clone().filter(session::usable);
    let remote = || std::iter::once(&request.to).chain(&request.others).map(PhoneNumber::digits).collect::<String>();
    known.unwrap_or_else(|| derive_session(&request.from, &remote()))
}

#[cfg(test)]
mod tests;
