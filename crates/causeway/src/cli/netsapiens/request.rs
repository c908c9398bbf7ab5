use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::Value;

use super::{Desk, confirmed};
use crate::cli::exit::Usage;
use crate::cli::output;

/// `causeway netsapiens request`
#[derive(Args)]
pub(super) struct Request {
    /// GET, POST, PUT, PATCH or DELETE.
    method: String,
    /// What follows base_url, such as "/domains/~/users/~".
    path: String,
    /// The JSON to send, or @FILE.
    #[arg(long)]
    body: Option<String>,
    /// A call that may change something is meant.
    #[arg(long)]
    yes: bool,
}

impl Request {
    pub(super) async fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        let method = match self.method.to_uppercase().as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return Err(Usage("the method must be GET, POST, PUT, PATCH or DELETE".to_owned()).into()),
        };
        if method != Method::GET {
            confirmed(self.yes, "this may change something at the provider")?;
        }
        let answer = desk.account.raw(method, &self.path, body(self.body.as_deref())?).await??;
        match runtime::lenient_json(&answer.body) {
            Ok(mut value) => {
                mask(&mut value);
                output::json(&value)?;
            }
            Err(_) => output::line(&String::from_utf8_lossy(&answer.body)),
        }
        if answer.status.is_success() { Ok(()) } else { Err(anyhow!("the provider answered {}", answer.status)) }
    }
}

fn body(given: Option<&str>) -> anyhow::Result<Bytes> {
    let Some(given) = given else { return Ok(Bytes::new()) };
    let text = match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?,
        None => given.to_owned(),
    };
    serde_json::from_str::<Value>(&text).context("--body is no JSON")?;
    Ok(Bytes::from(text))
}

/// Keys whose values let somebody in: a key, a token, a password, a URL with a secret in it.
fn is_secret(key: &str) -> bool {
    let key: String = key.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let parts = ["password", "passcode", "secret", "apikey", "accesstoken", "refreshtoken"];
    let whole = ["token", "refresh", "jwt", "key", "posturl", "fileaccessurl", "remotepath", "pin"];
    parts.iter().any(|part| key.contains(part)) || whole.contains(&key.as_str())
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_text = value.is_string() || value.is_number();
                if is_text && is_secret(key) { *value = "***".into() } else { mask(value) }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_lets_somebody_in_is_not_printed() {
        let mut value = json!([{
            "apikey": "nsd_1", "access_token": "t", "refresh-token": "t", "client_secret": "s", "token": "j",
            "file-access-url ": "https://core/?auth=1", "post-url": "https://b/n/s", "inner": { "Password": "p", "pin": 1234 },
            "key-id": "k1", "token_type": "Bearer", "text": "hello",
        }]);
        mask(&mut value);
        let shown = json!([{
            "apikey": "***", "access_token": "***", "refresh-token": "***", "client_secret": "***", "token": "***",
            "file-access-url ": "***", "post-url": "***", "inner": { "Password": "***", "pin": "***" },
            "key-id": "k1", "token_type": "Bearer", "text": "hello",
        }]);
        assert_eq!(value, shown);
    }
}
