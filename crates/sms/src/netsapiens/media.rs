//! Pictures of consumers (section 7): a signed URL, which may have expired, and came from outside.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use model::{InboundFile, SessionId};
use runtime::{CallError, Reach, StreamedAnswer, StreamedCall, leads_inside, url_segment};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::account::Account;
use super::fields::Fields;
use crate::{MediaError, OpenedFile};

/// For one file, from its first byte to its last.
const TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 3;
const URLS: &[&str] = &["file-access-url", "remotepath"];
/// How often a fresh URL is asked for.
const FRESH_TRIES: usize = 3;
/// Rows read to find one's fresh URL.
const ROWS: u32 = 50;

/// What an event or a row says of a file, where it says that there is one. A type with a size of nothing is none.
pub(super) fn file_of(fields: &Fields, types: &[&str], sizes: &[&str]) -> Option<InboundFile> {
    let media_type = fields.first(types);
    let size = fields.first(sizes);
    let url = fields.first(URLS);
    let there = url.is_some() || (media_type.is_some() && size != Some("0"));
    there.then(|| InboundFile {
        url: url.map(|url| url.to_owned().into()),
        media_type: media_type.map(str::to_owned),
        size: size.and_then(|size| size.parse().ok()).filter(|size| *size > 0),
        row: fields.first(&["id"]).map(str::to_owned),
        refused: None,
    })
}

/// A media type as it is compared: its parameters and its spelling may differ by the path it came.
pub(super) fn plain_type(kind: &str) -> String {
    let bare = kind.split(';').next().unwrap_or_default().trim().to_lowercase().replace(char::is_whitespace, "");
    match bare.as_str() {
        "image/jpg" | "image/pjpeg" => "image/jpeg".to_owned(),
        _ => bare,
    }
}

impl Account {
    /// Opens a consumer's file, where need be with a URL that is asked for again.
    pub(crate) async fn open_media(
        &self,
        user: &str,
        file: &InboundFile,
        session: Option<&SessionId>,
    ) -> Result<OpenedFile, MediaError> {
        if let Some(url) = &file.url {
            match self.try_url(url.expose()).await {
                Err(MediaError::Expired) => {}
                tried => return tried,
            }
        }
        let mut tried = None;
        // A URL may expire between the row that names it and the call; the next one is tried, and the same one is not.
        for _ in 0..FRESH_TRIES {
            let Some(url) = self.fresh_url(user, file, session).await? else {
                let cause = format!("provider {}: the message has no URL of its picture", self.name());
                return Err(MediaError::Later { cause });
            };
            if tried.as_ref() == Some(&url) {
                break;
            }
            match self.try_url(&url).await {
                Err(MediaError::Expired) => tried = Some(url),
                opened => return opened,
            }
        }
        Err(self.refused("gone", "the picture is not there any more, or not for us"))
    }

    /// First without the key: the URL is signed. With it only where the operator said so, and only when asked for it.
    async fn try_url(&self, url: &str) -> Result<OpenedFile, MediaError> {
        match self.follow(url, false).await? {
            answer if answer.status == StatusCode::UNAUTHORIZED => self.opened(self.follow(url, true).await?),
            answer => self.opened(answer),
        }
    }

    async fn follow(&self, url: &str, with_key: bool) -> Result<StreamedAnswer, MediaError> {
        let mut url = self.allowed(url)?;
        for _ in 0..=REDIRECTS {
            let answer = self.ask(&url, with_key).await?;
            let target = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
            match target.filter(|_| answer.status.is_redirection()) {
                None => return Ok(answer),
                Some(target) => {
                    let joined = url.join(target).map_err(|_| self.refused("bad-url", "a redirect leads nowhere"))?;
                    let next = self.allowed(joined.as_str())?;
                    if next.host_str() != url.host_str() || next.port_or_known_default() != url.port_or_known_default()
                    {
                        return Err(self.refused("redirect", "the picture's URL redirects to another host"));
                    }
                    url = next;
                }
            }
        }
        Err(self.refused("redirect", "the picture's URL redirects too often"))
    }

    async fn ask(&self, url: &reqwest::Url, with_key: bool) -> Result<StreamedAnswer, MediaError> {
        let mut headers = HeaderMap::new();
        if with_key {
            let told = |_| MediaError::Later { cause: format!("provider {}: its key cannot be had", self.name()) };
            let token = self.bearer().await.map_err(told)?;
            if let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())) {
                bearer.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, bearer);
            }
        }
        let call = StreamedCall {
            method: Method::GET,
            url: url.to_string(),
            headers,
            body: None,
            timeout: TIMEOUT,
            reach: self.reach(url).await,
        };
        self.http.stream(self.name().as_str(), "media", call).await.map_err(|error| match error {
            CallError::NotReached(told) if told.contains("private address") => {
                self.refused("private-address", "the picture's URL leads to a private address")
            }
            error => MediaError::Later { cause: format!("provider {}: {error}", self.name()) },
        })
    }

    /// The URL, when it may be followed: https, unless `base_url` is not; its host, or one the operator named.
    fn allowed(&self, url: &str) -> Result<reqwest::Url, MediaError> {
        let base = self.base();
        let url = reqwest::Url::parse(url).map_err(|_| self.refused("bad-url", "the picture's URL cannot be read"))?;
        let plain = base.as_ref().is_some_and(|base| base.scheme() == "http");
        if url.scheme() != "https" && !(plain && url.scheme() == "http") {
            return Err(self.refused("bad-url", "the picture's URL is not https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.refused("bad-url", "the picture's URL names a user"));
        }
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let own = base.as_ref().and_then(|base| base.host_str()).is_some_and(|own| own.eq_ignore_ascii_case(&host));
        let named = self.config.media_hosts.iter().any(|known| matches(known, &host));
        if !own && !named {
            return Err(
                self.refused("other-host", "the picture is at a host that is not the account's; see media_hosts")
            );
        }
        let port = url.port_or_known_default();
        let base_port = base.and_then(|base| base.port_or_known_default());
        if port != base_port && !matches!(port, Some(80 | 443)) {
            return Err(self.refused("other-host", "the picture is at a port that is not the account's"));
        }
        Ok(url)
    }

    fn base(&self) -> Option<reqwest::Url> {
        reqwest::Url::parse(&self.config.base_url).ok()
    }

    /// The account's own host is the operator's word. Any other may only be a public address, unless the account itself is
    /// inside, where the rest of it is as well.
    async fn reach(&self, url: &reqwest::Url) -> Reach {
        let Some(base) = self.base() else { return Reach::Public };
        if base.host_str() == url.host_str() {
            return Reach::Anywhere;
        }
        let inside = leads_inside(base.host_str().unwrap_or_default()).await;
        if inside { Reach::Anywhere } else { Reach::Public }
    }

    fn opened(&self, answer: StreamedAnswer) -> Result<OpenedFile, MediaError> {
        let told = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        match answer.status.as_u16() {
            200 => {
                if told(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
                    return Err(self.refused("encoded", "the picture came compressed, and nobody asked for that"));
                }
                let size = told(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
                Ok(OpenedFile { size, body: answer.body })
            }
            401 | 403 | 404 | 410 => Err(MediaError::Expired),
            408 | 429 | 500..=599 => Err(MediaError::Later {
                cause: format!("provider {} answered {} when asked for a picture", self.name(), answer.status),
            }),
            _ => Err(self.refused("gone", "the provider does not give the picture")),
        }
    }

    /// The URL that the row holds now.
    async fn fresh_url(
        &self,
        user: &str,
        file: &InboundFile,
        session: Option<&SessionId>,
    ) -> Result<Option<String>, MediaError> {
        let Some(session) = session.filter(|session| super::session::usable(session)) else { return Ok(None) };
        let route = format!("messagesessions/{}/messages?limit={ROWS}", url_segment(session.as_str()));
        let rows =
            self.list(user, "media", &route).await.map_err(|error| MediaError::Later { cause: error.to_string() })?;
        Ok(rows.iter().find_map(|row| url_in(row, file)))
    }

    fn refused(&self, word: &'static str, told: &str) -> MediaError {
        MediaError::Refused { word, cause: format!("provider {}: {told}", self.name()) }
    }
}

/// By its id; without one, the newest inbound row with a file of that type and size, which is what the event told of.
fn url_in(row: &Value, file: &InboundFile) -> Option<String> {
    let fields = Fields::of(row);
    let inbound = fields.first(&["direction"]) != Some("term");
    let same = match &file.row {
        Some(id) => fields.first(&["id"]) == Some(id),
        None => {
            let size = fields.first(&["media-size"]).and_then(|size| size.parse::<u64>().ok());
            inbound
                && file.media_type.as_deref().is_none_or(|kind| fields.first(&["media-type"]) == Some(kind))
                && file.size.is_none_or(|wanted| size == Some(wanted))
        }
    };
    if same { fields.first(URLS).map(str::to_owned) } else { None }
}

/// A host as it is named, or every host below one that is named with a dot before it (or `*.`).
fn matches(known: &str, host: &str) -> bool {
    let known = known.trim().to_lowercase();
    let known = known.strip_prefix('*').unwrap_or(&known);
    match known.strip_prefix('.') {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
        None => host == known,
    }
}

#[cfg(test)]
mod tests;
