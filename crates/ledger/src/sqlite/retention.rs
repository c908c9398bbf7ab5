use rusqlite::Connection;

use crate::common::TOUCH_EVERY;

/// Rows of one table that are deleted in one go.
const ROWS: u32 = 500;

/// Whether there is more to forget.
pub(super) struct More(pub(super) bool);

/// Deletes what was last touched before `before`. An attempt that is open is business that is not finished, however old.
pub(super) fn forget(connection: &Connection, before: i64) -> rusqlite::Result<More> {
    let statements = [
        "DELETE FROM effects WHERE (family, id) IN
            (SELECT family, id FROM effects WHERE touched_at < ?1 AND attempt IS NULL LIMIT ?2)",
        "DELETE FROM timeline WHERE seq IN
            (SELECT seq FROM (SELECT seq, at FROM timeline ORDER BY seq LIMIT ?2) WHERE at < ?1)",
        "DELETE FROM receipts WHERE (channel, foreign_id, recipient) IN
            (SELECT channel, foreign_id, recipient FROM receipts WHERE touched_at < ?1 LIMIT ?2)",
        "DELETE FROM arrivals WHERE (channel, id) IN
            (SELECT channel, id FROM arrivals WHERE arrived_at < ?1 LIMIT ?2)",
    ];
    let mut more = false;
    for statement in statements {
        more |= connection.prepare_cached(statement)?.execute((before, ROWS))? == ROWS as usize;
    }
    let statement = "DELETE FROM sessions WHERE (channel, consumer) IN
        (SELECT channel, consumer FROM sessions WHERE used_at < ?1 LIMIT ?2)";
    // A use is written down only once in a while, and what is in use is not forgotten.
    let unused = before.saturating_sub(TOUCH_EVERY);
    more |= connection.prepare_cached(statement)?.execute((unused, ROWS))? == ROWS as usize;
    Ok(More(more))
}
