//! What an answer means for the caller (sections 4.0 and 9).

use http::StatusCode;
use jiff::Timestamp;
use model::ChannelName;
use runtime::{Answer, CallError};
use serde_json::Value;

use crate::{Blame, Refusal, reader};

/// The answer's JSON when the call succeeded; `Null` where there is none to read.
pub(crate) fn classify(
    channel: &ChannelName,
    answered: Result<Answer, CallError>,
    now: Timestamp,
) -> Result<Value, Refusal> {
    let answer = answered.map_err(unanswered)?;
    let status = answer.status;
    if status.is_success() {
        return success(&answer);
    }
    Err(match status.as_u16() {
        401 => {
            fault(status, format!("Genesys refused the signature (401); check the secret_files of channel {channel}"))
        }
        403 => fault(
            status,
            format!("Genesys refused channel {channel} (403); check ccid, and that the channel belongs to it"),
        ),
        404 => fault(
            status,
            format!("Genesys does not know channel {channel} (404); check its id, and that it is provisioned"),
        ),
        _ => refused(&answer, now),
    })
}

/// What an answer means that is no success, and says nothing of whose key, channel or task it is about.
pub(crate) fn refused(answer: &Answer, now: Timestamp) -> Refusal {
    let status = answer.status;
    let after = answer.retry_after(now);
    let later = |blame| {
        let cause = format!("Genesys answered {}", told(answer));
        Refusal::Later { after, blame, maybe_done: false, cause }
    };
    let never = |code| Refusal::Never { code, cause: format!("Genesys refused the message: {}", told(answer)) };
    match status.as_u16() {
        300..=399 => fault(status, format!("Genesys redirects ({status}); check base_url")),
        400 => never("bad-request"),
        413 => never("too-large"),
        415 | 422 => never("unsupported"),
        429 => later(Blame::Channel),
        408 | 425 | 502 | 503 | 504 => later(Blame::Tenant),
        500..=599 => later(Blame::Message),
        _ => never("refused"),
    }
}

pub(crate) fn fault(status: StatusCode, cause: String) -> Refusal {
    Refusal::ChannelFault { status: status.as_u16(), cause }
}

pub(crate) fn unanswered(error: CallError) -> Refusal {
    let maybe_done = matches!(error, CallError::NoAnswer(_));
    Refusal::Later { after: None, blame: Blame::Tenant, maybe_done, cause: format!("Genesys: {error}") }
}

/// 2xx is success unless its `status.code` says otherwise; a code of 1 may be retried, as in the predecessor (4.0).
pub(crate) fn success(answer: &Answer) -> Result<Value, Refusal> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body.get("status").and_then(|status| status.get("code")).and_then(reader::scalar);
    match code.as_deref() {
        None | Some("0" | "SUCCESS") => Ok(body),
        Some("1") => {
            let cause = format!("Genesys answered {}", told(answer));
            Err(Refusal::Later { after: None, blame: Blame::Message, maybe_done: false, cause })
        }
        Some(_) => Err(Refusal::Never { code: "refused", cause: format!("Genesys answered {}", told(answer)) }),
    }
}

/// Status and `status.code`. `status.message` is left out: it may quote the message.
fn told(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body.get("status").and_then(|status| status.get("code")).and_then(reader::scalar);
    let code =
        code.filter(|code| code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    code.map_or_else(|| answer.status.to_string(), |code| format!("{} (status.code {code})", answer.status))
}
