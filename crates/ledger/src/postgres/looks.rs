use jiff::Timestamp;
use model::{Address, ChannelName, Family};
use tokio::sync::oneshot;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::fault::{FASTER, Fault};
use super::link::{Link, in_time};
use super::{millis, text, timestamp, unknown};
use crate::Line;
use crate::common::{CLAIMED, LINES, Raw, SENT_WITH_AN_ID, by_message, foreign_id, numbers};

/// Whoever asked.
pub(crate) type Caller<T> = oneshot::Sender<Result<T, String>>;

/// A question that changes nothing, and waits for no lock.
pub(crate) enum Look {
    /// The timelines a query names.
    Timeline(String, Caller<Vec<Line>>),
    /// The newest lines, so many.
    Recent(u32, Caller<Vec<Line>>),
    /// What was claimed in a conversation since then.
    Claimed(ChannelName, Address, Timestamp, Caller<Vec<String>>),
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
            Self::Now(caller) => answer(caller, in_time(now(link)).await.map(|now| given.unwrap_or(now))),
        }
    }

    /// Answers that nobody looked.
    pub(super) fn refuse(self, why: &str) {
        match self {
            Self::Timeline(_, caller) | Self::Recent(_, caller) => tell(caller, Err(why.to_owned())),
            Self::Claimed(.., caller) => tell(caller, Err(why.to_owned())),
            Self::Now(caller) => tell(caller, Err(why.to_owned())),
        }
    }
}

fn answer<T>(caller: Caller<T>, seen: Result<T, Fault>) -> Result<(), String> {
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

fn tell<T>(caller: Caller<T>, told: Result<T, String>) {
    // Whoever has gone needs no answer.
    let _heard = caller.send(told);
}

fn fault(error: Error) -> Fault {
    Fault::of(&error)
}

async fn timeline(link: &Link, query: &str) -> Result<Vec<Line>, Fault> {
    let query = text(query);
    let (digits, with_one) = numbers(&query);
    let statement = &link.statements.timeline;
    let rows = link.client.query(statement, &[&query, &digits, &with_one, &i64::from(LINES)]).await.map_err(fault)?;
    Ok(by_message(lines(rows)?))
}

async fn recent(link: &Link, limit: u32) -> Result<Vec<Line>, Fault> {
    let rows = link.client.query(&link.statements.recent, &[&i64::from(limit)]).await.map_err(fault)?;
    let mut lines = lines(rows)?;
    lines.reverse();
    Ok(lines)
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

pub(super) async fn now(link: &Link) -> Result<Timestamp, Fault> {
    let row = link.client.query_one(&link.statements.now, &[]).await.map_err(fault)?;
    row.try_get(0).map(timestamp).map_err(fault)
}

fn lines(rows: Vec<Row>) -> Result<Vec<Line>, Fault> {
    rows.iter().map(line).collect()
}

fn line(row: &Row) -> Result<Line, Fault> {
    let word = |column| row.try_get::<_, String>(column).map_err(fault);
    let raw = Raw {
        at: row.try_get(0).map_err(fault)?,
        id: word(1)?,
        family: word(2)?,
        channel: word(3)?,
        foreign_id: word(4)?,
        trace: word(5)?,
        what: word(6)?,
        detail: word(7)?,
    };
    raw.read().map_err(|word| Fault::Refused(unknown(&word)))
}
