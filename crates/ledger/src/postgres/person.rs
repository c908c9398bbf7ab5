use jiff::Timestamp;
use model::{ChannelName, Family, MessageId, TraceId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::fault::Fault;
use super::link::Link;
use super::statements::OWN_OF_CONSUMER;
use super::{consents, digest, looks, millis, text, timestamp, unknown};
use crate::common::{by_message, newest};
use crate::person::{ARRIVES_AGAIN, GOES_ON, ROWS};
use crate::{Erased, Erasure, KeptArrival, KeptEffect, KeptReceipt, KeptSession, KeptTask, Parties, Person};

const EFFECTS: &str = "SELECT family, id, channel, target, foreign_id, trace, received_at, outcome, parties
    FROM causeway.effects WHERE consumer = $1 AND family <> 'receipts' ORDER BY received_at DESC LIMIT $2";
const TIMELINE: &str = "SELECT t.at, t.id, t.family, t.channel, t.foreign_id, t.trace, t.what, t.detail
    FROM (SELECT DISTINCT id FROM causeway.effects WHERE consumer = $1) AS e
    JOIN causeway.timeline AS t ON t.id = e.id ORDER BY t.seq DESC LIMIT $2";
const RECEIPTS: &str =
    "SELECT channel, foreign_id, recipient, state, emitted FROM causeway.receipts WHERE key = ANY($1)";
const ARRIVALS: &str = "SELECT a.channel, a.id, a.path, a.fingerprint, a.arrived_at FROM causeway.effects AS e
    JOIN causeway.arrivals AS a ON a.channel = e.channel AND a.id = e.id
    WHERE e.consumer = $1 AND e.family = 'inbound' ORDER BY a.arrived_at DESC LIMIT $2";
const SESSIONS: &str =
    "SELECT channel, session, used_at FROM causeway.sessions WHERE consumer = $1 ORDER BY channel LIMIT $2";

const INTERACTIONS: &str =
    "SELECT channel, value, touched_at FROM causeway.interactions WHERE consumer = $1 ORDER BY channel LIMIT $2";

const IN_HAND: &str = "SELECT count(*) FROM causeway.effects WHERE consumer = $1 AND attempt IS NOT NULL
    AND outcome IS NULL AND deadline > $2";
const LOCK: &str = "SELECT 1 FROM causeway.effects WHERE consumer = $1 ORDER BY family, id FOR UPDATE";
const NO_RECEIPTS: &str = "DELETE FROM causeway.receipts WHERE key = ANY($1)";
const NO_ARRIVALS: &str = "DELETE FROM causeway.arrivals AS a USING causeway.effects AS e
    WHERE e.consumer = $1 AND a.channel = e.channel AND a.id = e.id AND a.arrived_at < $2";
/// What stands for one of theirs, and has no effect of its own.
const NO_SIGHTS: &str = "DELETE FROM causeway.arrivals AS a USING causeway.effects AS e, causeway.arrivals AS own
    WHERE e.consumer = $1 AND own.channel = e.channel AND own.id = e.id AND a.channel = own.channel
    AND a.fingerprint = own.fingerprint AND a.same_as = own.id AND strpos(a.id, '~') > 0 AND a.arrived_at < $2";
const NO_REPORTS: &str = "DELETE FROM causeway.reports AS r USING causeway.sent AS s, causeway.effects AS e
    WHERE e.consumer = $1 AND s.id = e.id AND r.key = s.key";
const NO_SENT: &str =
    "DELETE FROM causeway.sent AS s USING causeway.effects AS e WHERE e.consumer = $1 AND s.id = e.id";
const NO_TIMELINE: &str = "DELETE FROM causeway.timeline AS t USING causeway.effects AS e
    WHERE e.consumer = $1 AND t.id = e.id";
/// How many lines the effects of a consumer tell of themselves. Their tombstones tell nothing.
const OWN_LINES: &str = "SELECT count(*) + count(nullif(family, 'receipts')) + count(ended_at) FROM causeway.effects
    WHERE consumer = $1 AND walk IS NOT NULL";
const NO_SESSIONS: &str = "DELETE FROM causeway.sessions WHERE consumer = $1";
const NO_INTERACTIONS: &str = "DELETE FROM causeway.interactions WHERE consumer = $1";
const NO_RECEIPT_EFFECTS: &str = "DELETE FROM causeway.effects WHERE consumer = $1 AND family = 'receipts'";
/// What was done stays done; what waits to be tried stays what it is. Neither knows for whom.
const TOMBSTONES: &str = r#"UPDATE causeway.effects SET consumer = '', parties = NULL, walk = NULL,
    erased_at = CASE WHEN outcome IS NULL THEN NULL ELSE $2::int8 END,
    outcome = CASE WHEN outcome LIKE '{"Sent":%' THEN '{"Sent":{"foreign_id":null}}' ELSE outcome END
    WHERE consumer = $1"#;

fn fault(error: Error) -> Fault {
    Fault::of(&error)
}

pub(super) async fn person(link: &Link, consumer: &str) -> Result<Person, Fault> {
    let (consumer, limit) = (text(consumer), i64::from(ROWS));
    let of: [&(dyn ToSql + Sync); 2] = [&consumer, &limit];
    let mut effects: Vec<KeptEffect> =
        link.client.query(EFFECTS, &of).await.map_err(fault)?.iter().map(effect).collect::<Result<_, _>>()?;
    effects.reverse();
    let written = link.client.query(TIMELINE, &of).await.map_err(fault)?;
    let own = link.client.query(OWN_OF_CONSUMER, &of).await.map_err(fault)?;
    let timeline = by_message(newest(looks::own(&own)?, looks::lines(&written)?, ROWS));
    let receipts = link.client.query(RECEIPTS, &[&keys(&effects, &consumer)]).await.map_err(fault)?;
    let arrivals = link.client.query(ARRIVALS, &of).await.map_err(fault)?;
    let sessions = link.client.query(SESSIONS, &of).await.map_err(fault)?;
    let interactions = link.client.query(INTERACTIONS, &of).await.map_err(fault)?;
    let interactions = interactions.iter().map(task).collect::<Result<_, _>>().map_err(fault)?;
    let receipts = receipts.iter().map(receipt).collect::<Result<_, _>>().map_err(fault)?;
    let arrivals = arrivals.iter().map(arrival).collect::<Result<_, _>>().map_err(fault)?;
    let sessions = sessions.iter().map(session).collect::<Result<_, _>>().map_err(fault)?;
    let consents = consents::of(link, &consumer).await?;
    Ok(Person { effects, timeline, receipts, arrivals, sessions, interactions, consents })
}

/// The groups a number is a member of, as far as anything is kept of them.
pub(super) async fn groups(link: &Link, member: &str) -> Result<Vec<String>, Fault> {
    let of = |table: &str| {
        format!(
            "SELECT consumer FROM causeway.{table}
            WHERE position(',' || $1::text || ',' IN ',' || consumer || ',') > 0 AND consumer <> $1::text"
        )
    };
    let select = ["effects", "sessions", "interactions", "consents"].map(of).join(" UNION ");
    let rows = link.client.query(&select, &[&text(member)]).await.map_err(fault)?;
    rows.iter().map(|row| row.try_get(0).map_err(fault)).collect()
}

/// Under what the receipts of these replies are kept.
fn keys(effects: &[KeptEffect], consumer: &str) -> Vec<Vec<u8>> {
    let replies = effects.iter().filter(|effect| effect.family == Family::Replies);
    let key = |effect: &KeptEffect| {
        let parties = effect.parties.as_deref().and_then(|parties| serde_json::from_str::<Parties>(parties).ok());
        let recipient = parties.map_or_else(|| consumer.to_owned(), |parties| parties.to_id.into_inner());
        digest(&[effect.channel.as_str(), &effect.foreign_id, &recipient])
    };
    replies.map(key).collect()
}

fn effect(row: &Row) -> Result<KeptEffect, Fault> {
    let family: &str = row.try_get(0).map_err(fault)?;
    let family = Family::ALL.into_iter().find(|one| one.word() == family);
    let word = |column| row.try_get::<_, String>(column).map_err(fault);
    Ok(KeptEffect {
        family: family.ok_or_else(|| Fault::Refused(unknown("a family")))?,
        id: MessageId::new(word(1)?),
        channel: ChannelName::new(word(2)?),
        target: word(3)?,
        foreign_id: word(4)?,
        trace: TraceId::new(word(5)?),
        received_at: timestamp(row.try_get(6).map_err(fault)?),
        outcome: row.try_get(7).map_err(fault)?,
        parties: row.try_get(8).map_err(fault)?,
    })
}

fn receipt(row: &Row) -> Result<KeptReceipt, Error> {
    Ok(KeptReceipt {
        channel: ChannelName::new(row.try_get::<_, String>(0)?),
        foreign_id: row.try_get(1)?,
        recipient: row.try_get(2)?,
        state: row.try_get(3)?,
        emitted: row.try_get(4)?,
    })
}

fn arrival(row: &Row) -> Result<KeptArrival, Error> {
    Ok(KeptArrival {
        channel: ChannelName::new(row.try_get::<_, String>(0)?),
        id: MessageId::new(row.try_get::<_, String>(1)?),
        path: row.try_get(2)?,
        fingerprint: row.try_get(3)?,
        arrived_at: timestamp(row.try_get(4)?),
    })
}

fn session(row: &Row) -> Result<KeptSession, Error> {
    Ok(KeptSession {
        channel: ChannelName::new(row.try_get::<_, String>(0)?),
        session: row.try_get(1)?,
        used_at: timestamp(row.try_get(2)?),
    })
}

fn task(row: &Row) -> Result<KeptTask, Error> {
    Ok(KeptTask {
        channel: ChannelName::new(row.try_get::<_, String>(0)?),
        interaction: row.try_get(1)?,
        touched_at: timestamp(row.try_get(2)?),
    })
}

pub(super) async fn erase(link: &Link, consumer: &str, now: Timestamp) -> Result<Erasure, Fault> {
    let consumer = text(consumer);
    let client = &link.client;
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await.map_err(fault)?;
    // Nobody begins one of these, or ends it, until it is over.
    client.execute(LOCK, &[&consumer]).await.map_err(fault)?;
    let going_on = millis(now.saturating_sub(GOES_ON).unwrap_or_default());
    let in_hand: i64 =
        client.query_one(IN_HAND, &[&consumer, &going_on]).await.and_then(|row| row.try_get(0)).map_err(fault)?;
    let erasure = match u64::try_from(in_hand) {
        Ok(0) | Err(_) => Erasure::Erased(erased(link, &consumer, now).await?),
        Ok(in_hand) => Erasure::InHand(in_hand),
    };
    client.batch_execute("COMMIT").await.map_err(fault)?;
    Ok(erasure)
}

async fn erased(link: &Link, consumer: &String, now: Timestamp) -> Result<Erased, Fault> {
    let of: [&(dyn ToSql + Sync); 2] = [consumer, &i64::from(ROWS)];
    let effects: Vec<KeptEffect> =
        link.client.query(EFFECTS, &of).await.map_err(fault)?.iter().map(effect).collect::<Result<_, _>>()?;
    let arrives_again = millis(now.saturating_sub(ARRIVES_AGAIN).unwrap_or_default());
    let gone = async |statement: &str, parameters: &[&(dyn ToSql + Sync)]| {
        link.client.execute(statement, parameters).await.map_err(fault)
    };
    let receipts = gone(NO_RECEIPTS, &[&keys(&effects, consumer)]).await?;
    gone(NO_SIGHTS, &[consumer, &arrives_again]).await?;
    let arrivals = gone(NO_ARRIVALS, &[consumer, &arrives_again]).await?;
    let arrivals_kept = link.client.query(ARRIVALS, &of).await.map_err(fault)?.len() as u64;
    let reports = gone(NO_REPORTS, &[consumer]).await? + gone(NO_SENT, &[consumer]).await?;
    let own: i64 = link.client.query_one(OWN_LINES, &[consumer]).await.and_then(|row| row.try_get(0)).map_err(fault)?;
    let timeline = gone(NO_TIMELINE, &[consumer]).await? + u64::try_from(own).unwrap_or_default();
    let sessions = gone(NO_SESSIONS, &[consumer]).await?;
    let interactions = gone(NO_INTERACTIONS, &[consumer]).await?;
    gone(NO_RECEIPT_EFFECTS, &[consumer]).await?;
    let effects = gone(TOMBSTONES, &[consumer, &millis(now)]).await?;
    Ok(Erased { effects, timeline, receipts, arrivals, sessions, interactions, reports, arrivals_kept })
}
