use tokio_postgres::Error;

use super::link::Link;
use crate::common::{REPORT_HELD, REPORTS, TOUCH_EVERY, count_unmatched};

/// Rows of one table that are deleted in one go.
const ROWS: i64 = 500;

/// What is old, by table. A row another process works on is left to the next time. An attempt that is open is business that is
/// not finished, however old.
const STATEMENTS: [&str; 6] = [
    "DELETE FROM causeway.effects WHERE (family, id) IN (SELECT family, id FROM causeway.effects
        WHERE made_at < $1 AND touched_at < $1 AND attempt IS NULL ORDER BY made_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM causeway.timeline WHERE seq IN (
        SELECT seq FROM (SELECT seq, at FROM causeway.timeline ORDER BY seq LIMIT $2) AS first WHERE at < $1)",
    "DELETE FROM causeway.receipts WHERE key IN (SELECT key FROM causeway.receipts
        WHERE made_at < $1 AND touched_at < $1 ORDER BY made_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM causeway.arrivals WHERE (channel, id) IN (SELECT channel, id FROM causeway.arrivals
        WHERE arrived_at < $1 ORDER BY arrived_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM causeway.sent WHERE key IN (SELECT key FROM causeway.sent
        WHERE made_at < $1 ORDER BY made_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM causeway.interactions WHERE key IN (SELECT key FROM causeway.interactions
        WHERE touched_at < $1 ORDER BY touched_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
];
/// Reports that were kept long enough, and those above what is kept; whether anybody ever sent a message for each.
const REPORTS_GONE: &str = "DELETE FROM causeway.reports AS r USING (
        (SELECT key, state FROM causeway.reports WHERE reported_at < $1 LIMIT $3) UNION
        (SELECT key, state FROM causeway.reports ORDER BY reported_at DESC OFFSET $2 LIMIT $3)
    ) AS gone WHERE r.key = gone.key AND r.state = gone.state
    RETURNING r.provider, EXISTS (SELECT 1 FROM causeway.sent AS s WHERE s.key = r.key)";
const SESSIONS: &str = "DELETE FROM causeway.sessions WHERE key IN (SELECT key FROM causeway.sessions
    WHERE used_at < $1 ORDER BY used_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// What the one process that forgets holds meanwhile.
const FORGETTING: i64 = 0x0063_6175_7365_776f;

/// Deletes what was last touched before `before`, a little of it; whether there is more. Of several processes one does it.
pub(super) async fn forget(link: &Link, now: i64, before: i64) -> Result<bool, Error> {
    link.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    let forgotten = delete(link, now, before).await;
    link.client.batch_execute(if forgotten.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    forgotten
}

async fn delete(link: &Link, now: i64, before: i64) -> Result<bool, Error> {
    if !link.client.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&FORGETTING]).await?.get::<_, bool>(0) {
        return Ok(false);
    }
    let mut most = 0;
    for statement in STATEMENTS {
        most = most.max(link.client.execute(statement, &[&before, &ROWS]).await?);
    }
    // A use is written down only once in a while, and what is in use is not forgotten.
    let unused = before.saturating_sub(TOUCH_EVERY);
    most = most.max(link.client.execute(SESSIONS, &[&unused, &ROWS]).await?);
    let long_ago = now.saturating_sub(REPORT_HELD);
    let gone = link.client.query(REPORTS_GONE, &[&long_ago, &i64::from(REPORTS), &ROWS]).await?;
    for row in &gone {
        if !row.try_get::<_, bool>(1)? {
            count_unmatched(row.try_get(0)?);
        }
    }
    let most = most.max(gone.len() as u64);
    Ok(i64::try_from(most).is_ok_and(|most| most >= ROWS))
}
