use jiff::Timestamp;
use model::{Address, ChannelName, Family, NeighbourName, Receipt, ReceiptStatus};
use tokio::sync::oneshot;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::fault::{FASTER, Fault};
use super::link::{Link, in_time};
use super::{consents, digest, interactions, millis, person, reports, text, timestamp, unknown};
use crate::common::{CLAIMED, LINES, Raw, SENT_WITH_AN_ID, Walk, by_message, foreign_id, newest, numbers};
use crate::interactions::{KeptInteraction, Put};
use crate::receipts::{State, verdict};
use crate::{ConsentRecord, Effect, Line, Person, ReceiptVerdict};

/// Whoever asked.
pub(crate) type Caller<T> = oneshot::Sender<Result<T, String>>;

/// A question, beside all transactions.
pub(crate) enum Look {
    /// The timelines a query names.
    Timeline(String, Caller<Vec<Line>>),
    /// The newest lines, so many.
    Recent(u32, Caller<Vec<Line>>),
    /// What was claimed in a conversation since then.
    Claimed(ChannelName, Address, Timestamp, Caller<Vec<String>>),
    /// How many of a conversation's effects were received in the time before one that is not known yet.
    Crowd(Box<Effect>, Timestamp, u32, Caller<Option<u32>>),
    /// What a provider reported of a message, by the id it gave it.
    Reported(NeighbourName, String, Caller<Vec<Receipt>>),
    /// The receipts that would tell this of a reply.
    About(ChannelName, String, ReceiptStatus, Caller<Vec<(Receipt, ReceiptVerdict)>>),
    /// Everything about one consumer.
    Person(String, Caller<Person>),
    /// The groups a number is a member of.
    Groups(String, Caller<Vec<String>>),
    /// Forgets what a consumer wants; one of the two that write, each in a single statement.
    ForgetConsents(String, Caller<u64>),
    /// What is recorded of a consumer on a channel.
    Consent(ChannelName, Address, Caller<Option<ConsentRecord>>),
    /// The records behind a channel and consumer, so many.
    ConsentsAfter((String, String), u32, Caller<Vec<ConsentRecord>>),
    /// The newest task of a conversation, by channel and consumer.
    Interaction(ChannelName, String, Caller<Option<KeptInteraction>>),
    /// Puts one: the other one that writes.
    PutInteraction(Put, Caller<Option<u64>>),
    /// Tasks of a channel that nothing was put into since then.
    IdleInteractions(ChannelName, Timestamp, Caller<Vec<KeptInteraction>>),
    /// What time it is there.
    Now(Caller<Timestamp>),
}

impl Look {
    /// Looks and answers; why the connection is of no more use, where it is not. A time that is given goes before the database's.
    pub(super) async fn look(self, link: &Link, given: Option<Timestamp>) -> Result<(), String> {
        match self {
            Self::Timeline(query, caller) => answer(caller, in_time(timeline(link, &query)).await),
            Self::Recent(limit, caller) => answer(caller, in_time(recent(link, limit)).await),
            Self::Claimed(channel, consumer, since, caller) => {
                answer(caller, in_time(claimed(link, &channel, &consumer, since)).await)
            }
            Self::Crowd(effect, since, most, caller) => {
                answer(caller, in_time(crowd(link, &effect, since, most)).await)
            }
            Self::Reported(provider, id, caller) => answer(caller, in_time(reported(link, &provider, &id)).await),
            Self::About(channel, message, status, caller) => {
                answer(caller, in_time(about(link, &channel, &message, &status)).await)
            }
            Self::Person(consumer, caller) => answer(caller, in_time(person::person(link, &consumer)).await),
            Self::Groups(member, caller) => answer(caller, in_time(person::groups(link, &member)).await),
            Self::ForgetConsents(consumer, caller) => answer(caller, in_time(consents::forget(link, &consumer)).await),
            Self::Consent(channel, consumer, caller) => {
                answer(caller, in_time(consents::find(link, &channel, &consumer)).await)
            }
            Self::ConsentsAfter(after, limit, caller) => {
                answer(caller, in_time(consents::after(link, &after, limit)).await)
            }
            Self::Interaction(channel, consumer, caller) => {
                answer(caller, in_time(interactions::find(link, &channel, &consumer)).await)
            }
            Self::PutInteraction(put, caller) => {
                let put = async {
                    let now = match given {
                        Some(given) => given,
                        None => now(link).await?,
                    };
                    interactions::put(link, &put, now).await
                };
                answer(caller, in_time(put).await)
            }
            Self::IdleInteractions(channel, since, caller) => {
                answer(caller, in_time(interactions::idle(link, &channel, since)).await)
            }
            Self::Now(caller) => answer(caller, in_time(now(link)).await.map(|now| given.unwrap_or(now))),
        }
    }

    /// Answers that nobody looked.
    pub(super) fn refuse(self, why: &str) {
        match self {
            Self::Timeline(_, caller) | Self::Recent(_, caller) => tell(caller, Err(why.to_owned())),
            Self::Claimed(.., caller) | Self::Groups(_, caller) => tell(caller, Err(why.to_owned())),
            Self::Crowd(.., caller) => tell(caller, Err(why.to_owned())),
            Self::Reported(.., caller) => tell(caller, Err(why.to_owned())),
            Self::About(.., caller) => tell(caller, Err(why.to_owned())),
            Self::Person(_, caller) => tell(caller, Err(why.to_owned())),
            Self::ForgetConsents(_, caller) => tell(caller, Err(why.to_owned())),
            Self::Consent(.., caller) => tell(caller, Err(why.to_owned())),
            Self::ConsentsAfter(.., caller) => tell(caller, Err(why.to_owned())),
            Self::Interaction(.., caller) => tell(caller, Err(why.to_owned())),
            Self::PutInteraction(.., caller) => tell(caller, Err(why.to_owned())),
            Self::IdleInteractions(.., caller) => tell(caller, Err(why.to_owned())),
            Self::Now(caller) => tell(caller, Err(why.to_owned())),
        }
    }
}

pub(super) fn answer<T>(caller: Caller<T>, seen: Result<T, Fault>) -> Result<(), String> {
    match seen {
        Ok(seen) => tell(caller, Ok(seen)),
        Err(Fault::Refused(why)) => tell(caller, Err(why)),
        Err(Fault::Again) => tell(caller, Err(FASTER.to_owned())),
        Err(Fault::Lost(why)) => {
            tell(caller, Err(why.clone()));
            return Err(why);
        }
    }
    Ok(())
}

pub(super) fn tell<T>(caller: Caller<T>, told: Result<T, String>) {
    // Whoever has gone needs no answer.
    let _heard = caller.send(told);
}

fn fault(error: Error) -> Fault {
    Fault::of(&error)
}

async fn timeline(link: &Link, query: &str) -> Result<Vec<Line>, Fault> {
    let query = text(query);
    let (digits, with_one) = numbers(&query);
    let named: [&(dyn ToSql + Sync); 4] = [&query, &digits, &with_one, &i64::from(LINES)];
    let rows = link.client.query(&link.statements.timeline, &named).await.map_err(fault)?;
    let own = link.client.query(&link.statements.own_timeline, &named).await.map_err(fault)?;
    Ok(by_message(newest(self::own(&own)?, lines(&rows)?, LINES)))
}

async fn recent(link: &Link, limit: u32) -> Result<Vec<Line>, Fault> {
    let rows = link.client.query(&link.statements.recent, &[&i64::from(limit)]).await.map_err(fault)?;
    let own = link.client.query(&link.statements.own_recent, &[&i64::from(limit)]).await.map_err(fault)?;
    Ok(newest(self::own(&own)?, lines(&rows)?, limit))
}

async fn crowd(link: &Link, effect: &Effect, since: Timestamp, most: u32) -> Result<Option<u32>, Fault> {
    let (family, id) = (effect.family.word(), text(effect.id.as_str()));
    let known = link.client.query_one(&link.statements.is_known, &[&family, &id]).await.map_err(fault)?;
    if known.try_get::<_, bool>(0).map_err(fault)? {
        return Ok(None);
    }
    let (channel, consumer) = (text(effect.channel.as_str()), text(effect.consumer.normalised()));
    let (since, until, most) = (millis(since), millis(effect.received_at), i64::from(most));
    let parameters: [&(dyn ToSql + Sync); 6] = [&family, &channel, &consumer, &since, &until, &most];
    let row = link.client.query_one(&link.statements.crowd, &parameters).await.map_err(fault)?;
    let count: i64 = row.try_get(0).map_err(fault)?;
    Ok(Some(u32::try_from(count).unwrap_or(u32::MAX)))
}

async fn claimed(
    link: &Link,
    channel: &ChannelName,
    consumer: &Address,
    since: Timestamp,
) -> Result<Vec<String>, Fault> {
    let (family, channel, consumer) = (Family::Replies.word(), text(channel.as_str()), text(consumer.normalised()));
    let (since, limit) = (millis(since), i64::from(CLAIMED));
    let parameters: [&(dyn ToSql + Sync); 6] = [&family, &channel, &consumer, &since, &SENT_WITH_AN_ID, &limit];
    let rows = link.client.query(&link.statements.claimed, &parameters).await.map_err(fault)?;
    let read = |row: &Row| {
        let outcome: &str = row.try_get(0).map_err(fault)?;
        foreign_id(outcome).map_err(|_| Fault::Refused(unknown("an outcome")))
    };
    rows.iter().map(read).filter_map(Result::transpose).collect()
}

async fn reported(link: &Link, provider: &NeighbourName, foreign_id: &str) -> Result<Vec<Receipt>, Fault> {
    let keys = [reports::key(provider, foreign_id)];
    let rows = link.client.query(&link.statements.load_reports, &[&keys.as_slice()]).await.map_err(fault)?;
    let mut held = Vec::with_capacity(rows.len());
    for row in rows {
        let status: &str = row.try_get(2).map_err(fault)?;
        let status: ReceiptStatus = serde_json::from_str(status).map_err(|_| Fault::Refused(unknown("a report")))?;
        held.push((row.try_get::<_, i64>(3).map_err(fault)?, status));
    }
    held.sort_by_key(|(at, _)| *at);
    let row = link.client.query_opt(&link.statements.load_sent, &[&keys.as_slice()]).await.map_err(fault)?;
    let passport = row.as_ref().map(reports::passport).transpose().map_err(fault)?.flatten();
    Ok(reports::receipts(passport, held.into_iter().map(|(_, status)| status).collect()))
}

async fn about(
    link: &Link,
    channel: &ChannelName,
    message: &str,
    status: &ReceiptStatus,
) -> Result<Vec<(Receipt, ReceiptVerdict)>, Fault> {
    let parameters: [&(dyn ToSql + Sync); 2] = [&text(message), &text(channel.as_str())];
    let rows = link.client.query(&link.statements.about, &parameters).await.map_err(fault)?;
    let mut found = Vec::new();
    for row in rows {
        let Some(passport) = reports::passport(&row).map_err(fault)? else { continue };
        let receipt = passport.receipt(status.clone());
        let key = digest(&[receipt.channel.as_str(), &receipt.genesys_message_id, receipt.to_id.expose()]);
        let last = link.client.query_opt(&link.statements.receipt_state, &[&key]).await.map_err(fault)?;
        let last = last.map(|row| {
            let word: &str = row.try_get(0).map_err(fault)?;
            let state = State::from_word(word).ok_or_else(|| Fault::Refused(unknown(word)))?;
            Ok((state, row.try_get(1).map_err(fault)?))
        });
        found.push((receipt, verdict(last.transpose()?, State::of(status))));
    }
    Ok(found)
}

pub(super) async fn now(link: &Link) -> Result<Timestamp, Fault> {
    let row = link.client.query_one(&link.statements.now, &[]).await.map_err(fault)?;
    row.try_get(0).map(timestamp).map_err(fault)
}

/// Lines that were written, which came newest first, the oldest first.
pub(super) fn lines(rows: &[Row]) -> Result<Vec<Line>, Fault> {
    let read = |row: &Row| {
        let word = |column| row.try_get::<_, String>(column).map_err(fault);
        line(row, row.try_get(0).map_err(fault)?, word(6)?, word(7)?)
    };
    rows.iter().rev().map(read).collect()
}

/// What effects tell of themselves.
pub(super) fn own(rows: &[Row]) -> Result<Vec<Line>, Fault> {
    let mut lines = Vec::new();
    for row in rows {
        let walk = walk(row).map_err(fault)?;
        for (at, what, detail) in walk.lines().map_err(|_| Fault::Refused(unknown("an outcome")))? {
            lines.push(line(row, at, what.word().to_owned(), detail)?);
        }
    }
    Ok(lines)
}

fn walk(row: &Row) -> Result<Walk, Error> {
    Ok(Walk {
        family: row.try_get(2)?,
        received_at: row.try_get(0)?,
        began_at: row.try_get(6)?,
        attempt: row.try_get(7)?,
        ended: row.try_get::<_, Option<i64>>(8)?.zip(row.try_get(9)?),
    })
}

/// A line of the message that stands in the columns from the second on.
fn line(row: &Row, at: i64, what: String, detail: String) -> Result<Line, Fault> {
    let word = |column| row.try_get::<_, String>(column).map_err(fault);
    let raw = Raw {
        at,
        id: word(1)?,
        family: word(2)?,
        channel: word(3)?,
        foreign_id: word(4)?,
        trace: word(5)?,
        what,
        detail,
    };
    raw.read().map_err(|word| Fault::Refused(unknown(&word)))
}
