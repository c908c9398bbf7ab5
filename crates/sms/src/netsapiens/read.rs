//! Reads what the platform keeps: the source of truth beside events (sections 4 and 5.5).

use std::collections::HashSet;

use jiff::Timestamp;
use model::SessionId;
use runtime::url_segment;
use serde_json::Value;

use super::account::Account;
use super::fields::Fields;
use super::{event, session, time};
use crate::{ConsumerText, SendError, SessionSummary};

/// Rows of a page: an answer of so many long texts is well below the largest that is read.
const PAGE: usize = 200;
/// Pages of one list; what is beyond them is older than anything that is pulled.
const PAGES: usize = 25;

impl Account {
    /// What consumers wrote in a session since then, the oldest first; nothing where there is no such session. `number` is
    /// ours where a row names none.
    pub(crate) async fn read_session(
        &self,
        user: &str,
        id: &SessionId,
        number: &str,
        since: Timestamp,
    ) -> Result<Vec<ConsumerText>, SendError> {
        if !session::usable(id) {
            return Ok(Vec::new());
        }
        let route = format!("messagesessions/{}/messages", url_segment(id.as_str()));
        let rows = self.pages(user, "read-messages", &route, &["timestamp"], since).await?;
        Ok(event::read_rows(&rows, id, number, self.config()))
    }

    /// The sessions of a user in which something happened since then, and those that do not say when.
    pub(crate) async fn list_sessions(&self, user: &str, since: Timestamp) -> Result<Vec<SessionSummary>, SendError> {
        let rows = self.pages(user, "list-sessions", "messagesessions", LAST, since).await?;
        let summary = |row: &Value| {
            let fields = Fields::of(row);
            let last_at = fields.first(LAST).and_then(|text| time::parse(text, &self.config().time_zone));
            let text = |names: &[&str]| fields.first(names).unwrap_or_default().to_owned();
            Some(SessionSummary {
                id: SessionId::new(fields.first(&["messagesession-id", "session-id"])?),
                number: text(&["messagesession-sms-number", "sms-number"]),
                last_at,
            })
        };
        let summaries = rows.iter().filter_map(summary);
        // What has no number of ours is a chat between extensions.
        let texts = summaries.filter(|one| !one.number.is_empty() && session::usable(&one.id));
        Ok(texts.filter(|one| one.last_at.is_none_or(|at| at >= since)).collect())
    }

    /// The pages of a list from its newest row on, until one is not full, or reaches back before `since`. A server that
    /// knows no `start` gives its first page again, and that is all there is (section 1).
    async fn pages(
        &self,
        user: &str,
        operation: &'static str,
        route: &str,
        times: &[&str],
        since: Timestamp,
    ) -> Result<Vec<Value>, SendError> {
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        for page in 0..PAGES {
            let start = page * PAGE;
            let rows = self.list(user, operation, &format!("{route}?limit={PAGE}&start={start}")).await?;
            let full = rows.len() >= PAGE;
            let older = |row: &Value| {
                let at = Fields::of(row).first(times).and_then(|text| time::parse(text, &self.config().time_zone));
                at.is_some_and(|at| at < since)
            };
            // The list of messages is the newest first; that of sessions has no documented order, and is read to its end.
            let reaches_back = operation == "read-messages" && rows.last().is_some_and(older);
            let before = all.len();
            all.extend(rows.into_iter().filter(|row| seen.insert(row.to_string())));
            if !full || reaches_back || all.len() == before {
                break;
            }
        }
        Ok(all)
    }
}

const LAST: &[&str] =
    &["messagesession-last-datetime", "messagesession-last-timestamp", "last-datetime", "last-timestamp"];
