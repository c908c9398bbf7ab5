use model::{Address, ChannelName, Private};
use tokio_postgres::{Error, Row};

use super::book::{ConsentRow, Kept};
use super::fault::Fault;
use super::link::Link;
use super::{Book, Wants, digest, effects, millis, text, timestamp, unknown};
use crate::consent::{Asked, Consent, ConsentRecord};
use crate::{Effect, What};

pub(crate) fn wants(effect: &Effect) -> Wants {
    let mut wants = effects::wants(effect);
    wants.consents.insert(key(&effect.channel, &effect.consumer));
    wants
}

fn key(channel: &ChannelName, consumer: &Address) -> Vec<u8> {
    digest(&[channel.as_str(), consumer.normalised()])
}

/// What is recorded after the change.
pub(crate) fn set(book: &mut Book<'_>, effect: &Effect, asked: &Asked) -> Result<Option<ConsentRecord>, String> {
    let key = key(&effect.channel, &effect.consumer);
    let known = book.consents.get(&key).map(|kept| kept.row.record()).transpose()?;
    let weighed = asked.weigh(known.as_ref(), book.now);
    let next = asked.next(known.as_ref(), &weighed, effect).map(|next| ConsentRow::of(&next));
    let record = next.as_ref().map(ConsentRow::record).transpose()?;
    if let Some(row) = next {
        book.consents.insert(key, Kept::made(row));
    }
    if let Some(told) = asked.told(&weighed) {
        effects::know(book, effect);
        book.tell(effect, What::Consent, &told, book.now);
    }
    Ok(record.or(known))
}

impl ConsentRow {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            channel: row.try_get(0)?,
            consumer: row.try_get(1)?,
            state: row.try_get(2)?,
            reason: row.try_get(3)?,
            changed_by: row.try_get(4)?,
            changed_at: row.try_get(5)?,
            heard_at: row.try_get(6)?,
            said_at: row.try_get(7)?,
        })
    }

    fn of(record: &ConsentRecord) -> Self {
        Self {
            channel: text(record.channel.as_str()),
            consumer: text(record.consumer.expose()),
            state: record.consent.word().to_owned(),
            reason: text(&record.reason),
            changed_by: text(&record.by),
            changed_at: millis(record.at),
            heard_at: record.heard_at.map(millis),
            said_at: record.said_at.map(millis),
        }
    }

    fn record(&self) -> Result<ConsentRecord, String> {
        Ok(ConsentRecord {
            channel: ChannelName::new(self.channel.clone()),
            consumer: Private::new(self.consumer.clone()),
            consent: Consent::from_word(&self.state).ok_or_else(|| unknown(&self.state))?,
            reason: self.reason.clone(),
            by: self.changed_by.clone(),
            at: timestamp(self.changed_at),
            heard_at: self.heard_at.map(timestamp),
            said_at: self.said_at.map(timestamp),
        })
    }
}

/// What is recorded of a consumer, beside all transactions.
pub(super) async fn find(
    link: &Link,
    channel: &ChannelName,
    consumer: &Address,
) -> Result<Option<ConsentRecord>, Fault> {
    let rows = link.client.query(&link.statements.load_consents, &[&vec![key(channel, consumer)]]).await;
    Ok(records(rows)?.pop())
}

/// What is recorded of a consumer on every channel.
pub(super) async fn of(link: &Link, consumer: &str) -> Result<Vec<ConsentRecord>, Fault> {
    let select =
        "SELECT channel, consumer, state, reason, changed_by, changed_at, heard_at, said_at FROM causeway.consents
        WHERE consumer = $1 ORDER BY channel";
    records(link.client.query(select, &[&text(consumer)]).await)
}

/// Forgets what is recorded of a consumer on every channel; how much that was.
pub(super) async fn forget(link: &Link, consumer: &str) -> Result<u64, Fault> {
    let delete = "DELETE FROM causeway.consents WHERE consumer = $1";
    link.client.execute(delete, &[&text(consumer)]).await.map_err(|error| Fault::of(&error))
}

/// The next records behind a channel and consumer.
pub(super) async fn after(link: &Link, after: &(String, String), limit: u32) -> Result<Vec<ConsentRecord>, Fault> {
    let (channel, consumer) = (text(&after.0), text(&after.1));
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&channel, &consumer, &i64::from(limit)];
    records(link.client.query(&link.statements.consents_after, &parameters).await)
}

fn records(rows: Result<Vec<Row>, Error>) -> Result<Vec<ConsentRecord>, Fault> {
    let rows = rows.map_err(|error| Fault::of(&error))?;
    let read = |row: &Row| ConsentRow::read(row).map_err(|error| Fault::of(&error))?.record().map_err(Fault::Refused);
    rows.iter().map(read).collect()
}
