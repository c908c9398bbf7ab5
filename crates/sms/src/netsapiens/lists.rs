//! Lists, page by page (section 1): servers count from 0, cut at 100 where nobody says how many, and some know no pages.

use std::collections::HashSet;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::account::Account;
use super::answer;
use super::fields::Fields;
use crate::SendError;

/// Rows of a page: an answer of so many long texts is below the largest that is read.
const PAGE: usize = 100;
/// What a server that knows no pages is asked for at once.
const LARGEST: usize = 1_000;

impl Account {
    /// At most so many rows of a list below the base URL; `keys` are what a row is told apart by.
    pub(super) async fn all_rows(
        &self,
        operation: &'static str,
        path: &str,
        keys: &[&str],
        most: usize,
    ) -> Result<Vec<Value>, SendError> {
        let mut rows: Vec<Value> = Vec::new();
        let mut known = HashSet::new();
        let (mut start, mut limit) = (0, PAGE.min(most.max(1)));
        while rows.len() < most {
            let page = self.page(operation, path, keys, start, limit).await?;
            let (found, before) = (page.len(), rows.len());
            // A row that came in meanwhile moves the others on by one, and they are seen twice.
            rows.extend(page.into_iter().filter(|row| match Fields::of(row).first(keys) {
                Some(key) => known.insert(key.to_owned()),
                None => true,
            }));
            if found < limit {
                break;
            }
            start += found;
            if rows.len() == before {
                // The same page again: it knows no pages, and may know a larger one.
                if limit == LARGEST {
                    break;
                }
                (start, limit) = (0, LARGEST);
            }
        }
        rows.truncate(most);
        Ok(rows)
    }

    async fn page(
        &self,
        operation: &'static str,
        path: &str,
        keys: &[&str],
        start: usize,
        limit: usize,
    ) -> Result<Vec<Value>, SendError> {
        let path = format!("{path}?start={start}&limit={limit}");
        let answered = self.exchange(operation, Method::GET, &path, Bytes::new()).await;
        answer::list(self.name(), answered, keys, self.now())
    }
}

#[cfg(test)]
mod tests;
