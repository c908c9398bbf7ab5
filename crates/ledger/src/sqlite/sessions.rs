use model::{Address, ChannelName, SessionId};
use rusqlite::{OptionalExtension, params};

use super::{Book, millis};
use crate::common::TOUCH_EVERY;

pub(crate) fn remember(
    book: &Book<'_>,
    channel: &ChannelName,
    consumer: &Address,
    session: &SessionId,
) -> rusqlite::Result<()> {
    let statement = "INSERT INTO sessions (channel, consumer, session, used_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO UPDATE SET session = excluded.session, used_at = excluded.used_at
        WHERE session <> excluded.session OR used_at < excluded.used_at - ?5";
    let arguments = params![channel.as_str(), consumer.normalised(), session.as_str(), millis(book.now), TOUCH_EVERY];
    book.connection.prepare_cached(statement)?.execute(arguments)?;
    Ok(())
}

pub(crate) fn find(book: &Book<'_>, channel: &ChannelName, consumer: &Address) -> rusqlite::Result<Option<SessionId>> {
    let select = "SELECT session FROM sessions WHERE channel = ?1 AND consumer = ?2";
    let key = params![channel.as_str(), consumer.normalised()];
    let found: Option<String> = book.connection.prepare_cached(select)?.query_row(key, |row| row.get(0)).optional()?;
    if found.is_some() {
        let touch = "UPDATE sessions SET used_at = ?3 WHERE channel = ?1 AND consumer = ?2 AND used_at < ?3 - ?4";
        let arguments = params![channel.as_str(), consumer.normalised(), millis(book.now), TOUCH_EVERY];
        book.connection.prepare_cached(touch)?.execute(arguments)?;
    }
    Ok(found.map(SessionId::new))
}
