//! Tokens: granted for a password, refreshed by a token that changes each time, and over after their time.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use runtime::http_server::read_body;
use serde_json::{Value, json};

use super::api::error;
use super::session::random_id;
use super::state::State;
use super::types::SimLogin;
use crate::door::{BODY_LIMIT, BODY_READ};

/// Tokens that are remembered; a server that runs for long forgets them all at once, and is logged in to again.
const TOKENS: usize = 10_000;

/// What a bearer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearer {
    Good,
    Expired,
    Unknown,
}

/// The tokens of a server, and how often somebody logged in.
#[derive(Default)]
pub(super) struct Tokens {
    until: HashMap<String, Timestamp>,
    refresh: Option<String>,
    /// Password grants and refreshes that were taken, and logins that were refused.
    pub(super) granted: u64,
    pub(super) refreshed: u64,
    pub(super) refused: u64,
}

impl Tokens {
    pub(super) fn worth(&self, token: &str, now: Timestamp) -> Bearer {
        match self.until.get(token) {
            Some(until) if now < *until => Bearer::Good,
            Some(_) => Bearer::Expired,
            None => Bearer::Unknown,
        }
    }

    /// Every token is over now.
    pub(super) fn expire(&mut self) {
        self.until.values_mut().for_each(|until| *until = Timestamp::UNIX_EPOCH);
    }

    fn make(&mut self, kind: Kind, now: Timestamp, lasts: SignedDuration) -> (String, String) {
        if self.until.len() >= TOKENS {
            self.until.clear();
        }
        let until = now.saturating_add(lasts).unwrap_or(Timestamp::MAX);
        let access = match kind {
            Kind::OAuth => random_id(),
            Kind::Jwt => unsigned(now, until),
        };
        let refresh = random_id();
        self.until.insert(access.clone(), until);
        self.refresh = Some(refresh.clone());
        (access, refresh)
    }
}

/// The two kinds of token a login is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    OAuth,
    Jwt,
}

/// `POST /tokens`
pub(super) async fn tokens(state: Shared<Arc<State>>, headers: HeaderMap, body: Body) -> Response {
    log_in(state, &headers, body, Kind::OAuth).await
}

/// `POST /jwt`
pub(super) async fn jwt(state: Shared<Arc<State>>, headers: HeaderMap, body: Body) -> Response {
    log_in(state, &headers, body, Kind::Jwt).await
}

async fn log_in(Shared(state): Shared<Arc<State>>, headers: &HeaderMap, body: Body, kind: Kind) -> Response {
    let body = match read_body(headers, body, BODY_LIMIT, BODY_READ).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    if state.faults.login_403_html.strikes() {
        return (StatusCode::FORBIDDEN, Html("<html><body><h1>403 Forbidden</h1></body></html>")).into_response();
    }
    if state.faults.login_500.strikes() {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut room = state.room();
    let Some(login) = room.login.clone() else { return error(StatusCode::NOT_FOUND, "Record not found") };
    let client = text("client_id") == login.client_id && text("client_secret") == login.client_secret;
    let now = room.clock.now();
    // A JWT is refreshed by its refresh token alone.
    let (grant, refresh) = match (kind, body.get("refresh").and_then(Value::as_str)) {
        (Kind::Jwt, Some(refresh)) => ("refresh_token", refresh),
        _ => (text("grant_type"), text("refresh_token")),
    };
    let known = match (kind, grant) {
        (_, "password") => client && text("username") == login.username && text("password") == login.password,
        (Kind::OAuth, "refresh_token") => client && room.tokens.refresh.as_deref() == Some(refresh),
        (Kind::Jwt, "refresh_token") => room.tokens.refresh.as_deref() == Some(refresh),
        _ => return error(StatusCode::BAD_REQUEST, "Invalid grant_type"),
    };
    if !known {
        room.tokens.refused += 1;
        drop(room);
        state.changed();
        return error(StatusCode::UNAUTHORIZED, "Invalid credentials");
    }
    if state.faults.login_without_token.strikes() {
        return Json(json!({ "username": login.username, "apiversion": "Version: 45.0.0" })).into_response();
    }
    if state.faults.login_wants_mfa.strikes() {
        let told = json!({ "access_token": random_id(), "scope": "mfa_required", "mfa_type": "authenticator", "mfa_vendor": "google" });
        return Json(told).into_response();
    }
    match grant {
        "password" => room.tokens.granted += 1,
        _ => room.tokens.refreshed += 1,
    }
    let (access, refresh) = room.tokens.make(kind, now, login.lasts);
    drop(room);
    state.changed();
    Json(match kind {
        Kind::OAuth => granted(&login, &state.domain, &access, &refresh),
        Kind::Jwt => json!({ "token": access, "refresh": refresh }),
    })
    .into_response()
}

/// A token whose claims a client may read, and whose signature nobody here checks: it is known by heart.
fn unsigned(now: Timestamp, until: Timestamp) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let lasts = until.duration_since(now).as_millis();
    let claims = json!({ "iat": now.as_second(), "exp": until.as_second(), "time_out": lasts.to_string() });
    format!("{}.{}.{}", part(json!({ "alg": "HS256", "typ": "JWT" })), part(claims), random_id())
}

fn granted(login: &SimLogin, domain: &str, access: &str, refresh: &str) -> Value {
    json!({
        "username": login.username, "user": "1001", "territory": "sandbox", "domain": domain, "department": "n/a",
        "uid": login.username, "login": login.username, "scope": "Office Manager", "displayName": "Sandbox",
        "access_token": access, "expires_in": login.lasts.as_secs(), "token_type": "Bearer", "refresh_token": refresh,
        "client_id": login.client_id, "apiversion": "Version: 45.0.0",
    })
}
