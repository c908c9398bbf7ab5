//! The media API: upload, download, delete (sections 4.2 to 4.5).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderValue, Method, StatusCode, header};
use model::TraceId;
use runtime::{Answer, ByteStream, CallError, Reach, StreamedAnswer, StreamedCall, url_segment};
use serde_json::Value;

use crate::client::{ChannelAccess, Client, Refusal};
use crate::signature::{Signer, sign};
use crate::{classify, reader};

/// Over which bytes an upload is signed: "the body of the message" can be read in three ways (section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaSignature {
    /// The whole multipart body, as it is sent.
    #[default]
    WholeBody,
    /// The bytes of the file alone.
    FileBytes,
    /// Nothing: the signature of an empty body.
    Empty,
}

/// A file to upload. Its bytes are read twice, once to sign them and once to send them.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Its media type.
    pub media_type: &'a str,
    /// Its bytes.
    pub size: u64,
}

/// A file Genesys keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Its id.
    pub id: String,
    /// How a message refers to it: `genesys://nexus/<id>`.
    pub url: String,
}

/// Files take longer than messages (section 4.3).
const TIMEOUT: Duration = Duration::from_secs(60);
/// Of an answer that is JSON.
const ANSWER_LIMIT: usize = 64 << 10;
/// How a file is referred to.
pub(crate) const SCHEME: &str = "genesys://nexus/";

impl Client {
    /// Gives Genesys a file for a message to refer to. A repeated upload makes a second one, so its id is for the caller to
    /// keep.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn upload<F, Fut>(
        &self,
        channel: &ChannelAccess,
        file: &Upload<'_>,
        open: F,
        trace: &TraceId,
    ) -> Result<Uploaded, Refusal>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<ByteStream, CallError>>,
    {
        let form = Form::new(file);
        let signature = self.signature(channel, &form, &open).await.map_err(unread)?;
        let mut headers = self.headers(channel, &signature, trace)?;
        headers.insert(header::CONTENT_TYPE, form.content_type()?);
        let length = form.head.len() as u64 + file.size + form.tail.len() as u64;
        let broken = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&broken);
        let bytes = open().await.map_err(unread)?.inspect_err(move |_| seen.store(true, Ordering::Relaxed));
        let body = form.around(Box::pin(bytes));
        let call = StreamedCall {
            method: Method::POST,
            url: self.media_url(channel, None),
            headers,
            body: Some((body, length)),
            timeout: TIMEOUT,
            reach: Reach::Anywhere,
        };
        let answered = self.http.stream(self.tenant.name.as_str(), "upload", call).await;
        if broken.load(Ordering::Relaxed) {
            return Err(unread(CallError::NotReached("it broke off".to_owned())));
        }
        let answer = self.json(channel, answered).await?;
        let data = answer.get("data").and_then(Value::as_object);
        let told = |key| data.and_then(|data| reader::text(data, key));
        let id = told("mediaId").or_else(|| told("url").and_then(|url| media_id(&url).map(str::to_owned)));
        let id = id.filter(|id| is_media_id(id)).ok_or_else(|| Refusal::Never {
            code: "no-media-id",
            cause: "Genesys took a file and gave it no id".to_owned(),
        })?;
        let url = told("url").filter(|url| media_id(url).is_some()).unwrap_or_else(|| format!("{SCHEME}{id}"));
        Ok(Uploaded { id, url })
    }

    /// Opens a file an agent sent; its bytes follow.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn download(
        &self,
        channel: &ChannelAccess,
        media: &str,
        trace: &TraceId,
    ) -> Result<StreamedAnswer, Refusal> {
        let answered = self.bodiless(Method::GET, "download", channel, media, trace).await;
        let json = |answer: &StreamedAnswer| {
            let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            kind.starts_with("application/json")
        };
        match answered {
            Ok(answer) if answer.status.is_success() && !json(&answer) => Ok(answer),
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => self.missing(channel, answer).await,
            answered => {
                self.json(channel, answered).await?;
                Err(Refusal::Never {
                    code: "no-media",
                    cause: "Genesys answered with JSON instead of a file".to_owned(),
                })
            }
        }
    }

    /// Takes back a file of our own that no message refers to. Never one an agent sent.
    ///
    /// # Errors
    /// [`Refusal`]; a file that is gone already is none.
    pub async fn delete_media(&self, channel: &ChannelAccess, media: &str, trace: &TraceId) -> Result<(), Refusal> {
        match self.bodiless(Method::DELETE, "delete-media", channel, media, trace).await {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => Ok(()),
            answered => self.json(channel, answered).await.map(|_| ()),
        }
    }

    /// A 404 may mean the file or the channel, and only one of them is a fault of ours.
    async fn missing(&self, channel: &ChannelAccess, answer: StreamedAnswer) -> Result<StreamedAnswer, Refusal> {
        let answer = whole(answer).await.map_err(classify::unanswered)?;
        if String::from_utf8_lossy(&answer.body).to_lowercase().contains("channel") {
            classify::classify(&channel.name, Ok(answer), self.clock.now())?;
        }
        Err(Refusal::Never { code: "no-media", cause: "Genesys does not have this file".to_owned() })
    }

    async fn bodiless(
        &self,
        method: Method,
        operation: &'static str,
        channel: &ChannelAccess,
        media: &str,
        trace: &TraceId,
    ) -> Result<StreamedAnswer, CallError> {
        // A body that is not there is signed as an empty one (section 3, inferred).
        let headers = self.headers(channel, &sign(&channel.secrets, b""), trace);
        let mut headers = headers.map_err(|refusal| CallError::NotReached(refusal.to_string()))?;
        headers.remove(header::CONTENT_TYPE);
        let url = self.media_url(channel, Some(media));
        let call = StreamedCall { method, url, headers, body: None, timeout: TIMEOUT, reach: Reach::Anywhere };
        self.http.stream(self.tenant.name.as_str(), operation, call).await
    }

    fn media_url(&self, channel: &ChannelAccess, media: Option<&str>) -> String {
        let all = format!("{}/channels/{}/media", self.tenant.base_url, url_segment(channel.id.as_str()));
        media.map_or(all.clone(), |media| format!("{all}/{}", url_segment(media)))
    }

    async fn json(
        &self,
        channel: &ChannelAccess,
        answered: Result<StreamedAnswer, CallError>,
    ) -> Result<Value, Refusal> {
        let answered = match answered {
            Ok(answer) => whole(answer).await,
            Err(error) => Err(error),
        };
        classify::classify(&channel.name, answered, self.clock.now())
    }

    async fn signature<F, Fut>(&self, channel: &ChannelAccess, form: &Form, open: &F) -> Result<String, CallError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<ByteStream, CallError>>,
    {
        let mut signer = Signer::new(&channel.secrets);
        let (framed, filled) = match self.tenant.media_signature {
            MediaSignature::WholeBody => (true, true),
            MediaSignature::FileBytes => (false, true),
            MediaSignature::Empty => (false, false),
        };
        if framed {
            signer.update(&form.head);
        }
        if filled {
            let mut bytes = open().await?;
            while let Some(chunk) = bytes.next().await {
                signer.update(&chunk?);
            }
        }
        if framed {
            signer.update(&form.tail);
        }
        Ok(signer.finish())
    }
}

/// What stands around a file in a multipart body. It is written here, for a body must be known before it is signed.
struct Form {
    boundary: String,
    head: Bytes,
    tail: Bytes,
}

impl Form {
    fn new(file: &Upload<'_>) -> Self {
        Self::with_boundary(file, format!("causeway-{}", uuid::Uuid::new_v4().simple()))
    }

    fn with_boundary(file: &Upload<'_>, boundary: String) -> Self {
        let name: String = file
            .name
            .chars()
            .map(|letter| if letter.is_control() || "\"\\".contains(letter) { '_' } else { letter })
            .collect();
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {}\r\n\r\n",
            file.media_type
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        Self { boundary, head: head.into(), tail: tail.into() }
    }

    fn content_type(&self) -> Result<HeaderValue, Refusal> {
        HeaderValue::from_str(&format!("multipart/form-data; boundary={}", self.boundary))
            .map_err(|_| Refusal::Never { code: "bad-boundary", cause: "a boundary is no header value".to_owned() })
    }

    fn around(&self, file: ByteStream) -> ByteStream {
        let (head, tail) = (self.head.clone(), self.tail.clone());
        Box::pin(stream::iter([Ok(head)]).chain(file).chain(stream::iter([Ok(tail)])))
    }
}

/// An answer that is no file, read to its end.
async fn whole(answer: StreamedAnswer) -> Result<Answer, CallError> {
    let StreamedAnswer { status, headers, body } = answer;
    let body = body
        .try_fold(Vec::new(), async |mut all: Vec<u8>, chunk| {
            all.extend_from_slice(&chunk[..chunk.len().min(ANSWER_LIMIT.saturating_sub(all.len()))]);
            Ok(all)
        })
        .await?;
    Ok(Answer { status, headers, body: body.into() })
}

fn unread(error: CallError) -> Refusal {
    let cause = format!("a file cannot be read: {error}");
    Refusal::Later { after: None, blame: crate::Blame::Caller, maybe_done: false, cause }
}

/// The id in a reference, where it is one that can stand in a path.
pub(crate) fn media_id(reference: &str) -> Option<&str> {
    let rest = reference.strip_prefix(SCHEME)?;
    let id = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    is_media_id(id).then_some(id)
}

/// Letters, digits and dashes, at most 64 (section 4.5).
pub fn is_media_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests;
