use model::{Address, ChannelName, Private};
use tokio_postgres::{Error, Row};

use super::book::{ConsentRow, Kept};
use super::fault::Fault;
use super::link::Link;
use super::{Book, Wants, digest, effects, millis, text, timestamp, unknown};
use crate::consent::{Asked, Consent, ConsentRecord, settled};
use crate::{Effect, What};

pub(crate) fn wants(effect: &Effect) -> Wants {
    let mut wants = effects::wants(effect);
    wants.consents.insert(key(&effect.channel, &effect.consumer));
    wants
}

fn key(channel: &ChannelName, consumer: &Address) -> Vec<u8> {
    digest(&[channel.as_str(), consumer.normalised()])
}

/// What is recorded after the change; nothing is written where it changes nothing.
pub(crate) fn set(book: &mut Book<'_>, effect: &Effect, asked: &Asked) -> Result<Option<ConsentRecord>, String> {
    let key = key(&effect.channel, &effect.consumer);
    let known = book.consents.get(&key).map(|kept| kept.row.record()).transpose()?;
    if settled(known.as_ref(), asked.consent) {
        return Ok(known);
    }
    let row = ConsentRow {
        channel: text(effect.channel.as_str()),
        consumer: text(effect.consumer.normalised()),
        state: asked.consent.word().to_owned(),
        reason: text(&asked.reason),
        changed_by: text(effect.id.as_str()),
        changed_at: millis(book.now),
    };
    let record = row.record()?;
    book.consents.insert(key, Kept::made(row));
    effects::know(book, effect);
    book.tell(effect, What::Consent, &asked.told(), book.now);
    Ok(Some(record))
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
        })
    }

    fn record(&self) -> Result<ConsentRecord, String> {
        Ok(ConsentRecord {
            channel: ChannelName::new(self.channel.clone()),
            consumer: Private::new(self.consumer.clone()),
            consent: Consent::from_word(&self.state).ok_or_else(|| unknown(&self.state))?,
            reason: self.reason.clone(),
            by: self.changed_by.clone(),
            at: timestamp(self.changed_at),
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
    let select = "SELECT channel, consumer, state, reason, changed_by, changed_at FROM causeway.consents
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
