use rusqlite::Connection;

use crate::common::{REPORT_HELD, REPORTS, TOUCH_EVERY, count_unmatched};

/// Rows of one table that are deleted in one go.
const ROWS: u32 = 500;

/// Whether there is more to forget.
pub(super) struct More(pub(super) bool);

/// Deletes what was last touched before `before`. An attempt that is open is business that is not finished, however old.
pub(super) fn forget(connection: &Connection, now: i64, before: i64) -> rusqlite::Result<More> {
    let statements = [
        // The lines of an effect go before it, and with it: a line must not come to belong to another.
        "DELETE FROM timeline WHERE effect IN
            (SELECT row FROM effects WHERE touched_at < ?1 AND attempt IS NULL ORDER BY touched_at, row LIMIT ?2)",
        "DELETE FROM effects WHERE row IN
            (SELECT row FROM effects WHERE touched_at < ?1 AND attempt IS NULL ORDER BY touched_at, row LIMIT ?2)",
        "DELETE FROM receipts WHERE (channel, foreign_id, recipient) IN
            (SELECT channel, foreign_id, recipient FROM receipts WHERE touched_at < ?1 LIMIT ?2)",
        "DELETE FROM arrivals WHERE row IN
            (SELECT row FROM (SELECT row, arrived_at FROM arrivals ORDER BY row LIMIT ?2) WHERE arrived_at < ?1)",
        "DELETE FROM sent WHERE (provider, foreign_id) IN
            (SELECT provider, foreign_id FROM sent WHERE made_at < ?1 LIMIT ?2)",
        "DELETE FROM interactions WHERE (channel, consumer) IN
            (SELECT channel, consumer FROM interactions WHERE touched_at < ?1 LIMIT ?2)",
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
    more |= reports(connection, now)?;
    Ok(More(more))
}

/// Forgets reports that were kept long enough, and those above what is kept; of those that nobody ever sent a message for
/// there is a count.
fn reports(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    let statement = "DELETE FROM reports WHERE (provider, foreign_id, state) IN (
            SELECT provider, foreign_id, state FROM reports WHERE reported_at < ?1
            UNION SELECT provider, foreign_id, state FROM
                (SELECT provider, foreign_id, state FROM reports ORDER BY reported_at DESC LIMIT -1 OFFSET ?2) LIMIT ?3)
        RETURNING provider, EXISTS (SELECT 1 FROM sent WHERE sent.provider = reports.provider
            AND sent.foreign_id = reports.foreign_id)";
    let mut statement = connection.prepare_cached(statement)?;
    let gone = statement.query_map((now.saturating_sub(REPORT_HELD), REPORTS, ROWS), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
    })?;
    let mut rows = 0;
    for row in gone {
        let (provider, matched) = row?;
        rows += 1;
        if !matched {
            count_unmatched(&provider);
        }
    }
    Ok(rows == ROWS)
}
