use model::{Address, ChannelName, SessionId};

use super::book::{Kept, SessionRow};
use super::{Book, Wants, digest, millis, text};
use crate::common::TOUCH_EVERY;

pub(crate) fn wants(channel: &ChannelName, consumer: &Address) -> Wants {
    let mut wants = Wants::default();
    wants.sessions.insert(key(channel, consumer));
    wants
}

fn key(channel: &ChannelName, consumer: &Address) -> Vec<u8> {
    digest(&[channel.as_str(), consumer.normalised()])
}

pub(crate) fn remember(
    book: &mut Book<'_>,
    channel: &ChannelName,
    consumer: &Address,
    session: &SessionId,
) -> Result<(), String> {
    let now = millis(book.now);
    let same = |row: &SessionRow| row.session == text(session.as_str()) && row.used_at >= now - TOUCH_EVERY;
    if book.sessions.get(&key(channel, consumer)).is_some_and(|kept| same(&kept.row)) {
        return Ok(());
    }
    write(book, channel, consumer, session);
    Ok(())
}

pub(crate) fn find(
    book: &mut Book<'_>,
    channel: &ChannelName,
    consumer: &Address,
) -> Result<Option<SessionId>, String> {
    let Some(kept) = book.sessions.get(&key(channel, consumer)) else { return Ok(None) };
    let (session, used_at) = (SessionId::new(kept.row.session.clone()), kept.row.used_at);
    if used_at < millis(book.now) - TOUCH_EVERY {
        write(book, channel, consumer, &session);
    }
    Ok(Some(session))
}

fn write(book: &mut Book<'_>, channel: &ChannelName, consumer: &Address, session: &SessionId) {
    let about = Some([channel.as_str(), consumer.normalised()].map(text));
    let row = SessionRow { session: text(session.as_str()), used_at: millis(book.now), about };
    book.sessions.insert(key(channel, consumer), Kept::made(row));
}
