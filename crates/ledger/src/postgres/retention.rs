use tokio_postgres::Error;

use super::link::Link;
use crate::common::TOUCH_EVERY;

/// Rows of one table that are deleted in one go.
const ROWS: i64 = 500;

/// What is old, by table. A row another process works on is left to the next time. An attempt that is open is business that is
/// not finished, however old.
const STATEMENTS: [&str; 4] = [
    "DELETE FROM causeway.effects WHERE (family, id) IN (SELECT family, id FROM causeway.effects
        WHERE made_at < $1 AND touched_at < $1 AND attempt IS NULL ORDER BY made_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM causeway.timeline WHERE seq IN (
        SELECT seq FROM (SELECT seq, at FROM causeway.timeline ORDER BY seq LIMIT $2) AS first WHERE at < $1)",
    "DELETE FROM causeway.receipts WHERE key IN (SELECT key FROM causeway.receipts
        WHERE made_at < $1 AND touched_at < $1 ORDER BY made_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM causeway.arrivals WHERE (channel, id) IN (SELECT channel, id FROM causeway.arrivals
        WHERE arrived_at < $1 ORDER BY arrived_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
];
const SESSIONS: &str = "DELETE FROM causeway.sessions WHERE key IN (SELECT key FROM causeway.sessions
    WHERE used_at < $1 ORDER BY used_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// What the one process that forgets holds meanwhile.
const FORGETTING: i64 = 0x0063_6175_7365_776f;

/// Deletes what was last touched before `before`, a little of it; whether there is more. Of several processes one does it.
pub(super) async fn forget(link: &Link, before: i64) -> Result<bool, Error> {
    link.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    let forgotten = delete(link, before).await;
    link.client.batch_execute(if forgotten.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    forgotten
}

async fn delete(link: &Link, before: i64) -> Result<bool, Error> {
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
    Ok(i64::try_from(most).is_ok_and(|most| most >= ROWS))
}
