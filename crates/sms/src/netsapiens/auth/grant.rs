//! The calls that give a token.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use model::NeighbourName;
use runtime::{Answer, Call, HttpClient, json_scalar, lenient_json};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::Login;
use super::record::Record;
use crate::SendError;
use crate::netsapiens::answer::{EDGE_PAUSE, THROTTLE_PAUSE};
use crate::netsapiens::fields::Fields;

/// What a token is worth that does not say (section 2.1).
const SECONDS: i64 = 3_600;

/// Where a login goes to.
pub(in crate::netsapiens) struct Door<'a> {
    pub(in crate::netsapiens) account: &'a NeighbourName,
    pub(in crate::netsapiens) base_url: &'a str,
    pub(in crate::netsapiens) http: &'a HttpClient,
    pub(in crate::netsapiens) now: Timestamp,
    /// When whoever asks has no time left.
    pub(in crate::netsapiens) until: Instant,
}

impl Door<'_> {
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Which of the two kinds of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    OAuth,
    Jwt,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::Jwt => "jwt",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::OAuth => "/tokens",
            Self::Jwt => "/jwt",
        }
    }

    fn body(self, login: &Login, refresh: Option<&str>) -> Value {
        let (id, secret) = (&login.client_id, login.client_secret.expose_secret());
        match (self, refresh) {
            (Self::OAuth, Some(refresh)) => json!({
                "grant_type": "refresh_token", "client_id": id, "client_secret": secret, "refresh_token": refresh,
            }),
            (Self::Jwt, Some(refresh)) => json!({ "refresh": refresh }),
            (_, None) => json!({
                "grant_type": "password", "client_id": id, "client_secret": secret,
                "username": login.username, "password": login.password.expose_secret(),
            }),
        }
    }
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may be had later.
    Later(SendError),
    /// It is refused, whenever it is asked for.
    Refused(String),
}

/// Asks for a token: with the refresh token where there is one, otherwise with the password.
pub(super) async fn ask(
    door: &Door<'_>,
    kind: Kind,
    login: &Login,
    fingerprint: &str,
    refresh: Option<&str>,
) -> Result<Record, Failure> {
    let (account, timeout) = (door.account, door.left());
    if timeout.is_zero() {
        let cause = format!("provider {account}: there was no time left for its login");
        return Err(Failure::Later(SendError::Later { after: None, throttled: false, cause }));
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let call = Call {
        method: Method::POST,
        url: format!("{}{}", door.base_url, kind.path()),
        headers,
        body: Bytes::from(kind.body(login, refresh).to_string()),
        timeout,
    };
    let answer = door.http.call(account.as_str(), "login", call).await.map_err(|error| {
        let cause = format!("provider {account}, at the login: {error}");
        Failure::Later(SendError::Later { after: None, throttled: false, cause })
    })?;
    let body = lenient_json(&answer.body).unwrap_or_default();
    if !answer.status.is_success() {
        return Err(refused(door, &answer, &body));
    }
    token(&body, kind, fingerprint, door.now).map_err(Failure::Refused)
}

/// A 200 is no token yet (section 2.1).
fn token(body: &Value, kind: Kind, fingerprint: &str, now: Timestamp) -> Result<Record, String> {
    let told = Fields::of(body);
    let second_factor = ["scope", "token-type", "mfa-type", "mfa-vendor", "mfa-required"];
    let wants_more = second_factor.iter().any(|key| match told.first(&[key]) {
        Some(value) if *key == "scope" || *key == "token-type" => value.contains("mfa_required"),
        Some(value) => value != "no" && value != "false",
        None => false,
    });
    if wants_more {
        return Err(
            "the login asks for a second factor, which a bridge cannot give; use an API key, or a user without one"
                .to_owned(),
        );
    }
    // Tokens are case-sensitive and opaque; the keys alone are read in both spellings.
    let (access, refresh) = match kind {
        Kind::OAuth => (told.first(&["access-token"]), told.first(&["refresh-token"])),
        Kind::Jwt => (told.first(&["token"]), told.first(&["refresh"])),
    };
    let Some(access) = access.map(str::trim).filter(|access| !access.is_empty()) else {
        return Err("the login is answered without a token; check client_id and username, and that base_url ends in \
                    /ns-api/v2"
            .to_owned());
    };
    let seconds = match kind {
        Kind::OAuth => told.first(&["expires-in"]).and_then(|text| text.parse().ok()),
        Kind::Jwt => expiry(access).map(|end| end.saturating_sub(now.as_second())),
    };
    let seconds = seconds.filter(|seconds| *seconds > 0).unwrap_or(SECONDS);
    Ok(Record::token(fingerprint, access.to_owned(), refresh.map(str::to_owned), now, seconds))
}

/// What a JSON Web Token says of its own end; whoever made it checks the rest.
fn expiry(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    json_scalar(claims.get("exp")?)?.parse().ok()
}

fn refused(door: &Door<'_>, answer: &Answer, body: &Value) -> Failure {
    let status = answer.status;
    let later = |after: Option<Duration>, what: &str| {
        let cause = format!("provider {} answered {status} to the login{what}", door.account);
        Failure::Later(SendError::Later { after, throttled: false, cause })
    };
    let never = |what: &str| Failure::Refused(format!("answered {status} to the login: {what}"));
    match status.as_u16() {
        403 if !body.is_object() => later(Some(EDGE_PAUSE), " from its edge (no JSON): a firewall blocks us"),
        429 => later(Some(answer.retry_after(door.now).unwrap_or(THROTTLE_PAUSE)), ""),
        408 | 425 | 500..=599 => later(answer.retry_after(door.now), ""),
        404 if !body.is_object() => never("this host has no ns-api v2; check base_url"),
        300..=399 => never("a redirect; check base_url"),
        _ => never("check client_id, client_secret, username and password"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_200_is_a_token_only_where_there_is_one() {
        let read = |body: Value, kind| token(&body, kind, "l", Timestamp::UNIX_EPOCH);
        let made = read(json!({ "access_token": "A", "refresh_token": "R", "expires_in": "60" }), Kind::OAuth).unwrap();
        assert_eq!((made.access.as_deref(), made.refresh.as_deref()), (Some("A"), Some("R")));
        for body in [json!({}), json!(null), json!([]), json!({ "access_token": "" }), json!({ "access_token": null })]
        {
            assert!(read(body, Kind::OAuth).is_err_and(|why| why.contains("without a token")));
        }
        for body in [
            json!({ "access_token": "A", "scope": "mfa_required" }),
            json!({ "access_token": "A", "mfa_type": "authenticator", "mfa_vendor": "google" }),
        ] {
            assert!(read(body, Kind::OAuth).is_err_and(|why| why.contains("second factor")));
        }
        assert!(read(json!({ "access_token": "A" }), Kind::Jwt).is_err());
    }

    #[test]
    fn the_end_of_a_json_web_token_is_read() {
        let claims = URL_SAFE_NO_PAD.encode(json!({ "exp": 1_800_000_000_i64 }).to_string());
        assert_eq!(expiry(&format!("h.{claims}.s")), Some(1_800_000_000));
        for token in ["", "opaque", "a.b.c", "a..c"] {
            assert_eq!(expiry(token), None, "{token}");
        }
    }
}
