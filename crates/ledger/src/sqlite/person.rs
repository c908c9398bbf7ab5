use model::{ChannelName, Family, MessageId, TraceId};
use rusqlite::{Row, params};

use super::{Book, consents, millis, timeline, timestamp, unknown};
use crate::person::{ARRIVES_AGAIN, GOES_ON, ROWS};
use crate::{Erased, Erasure, KeptArrival, KeptEffect, KeptReceipt, KeptSession, KeptTask, Parties, Person};

const THEIRS: &str = "(SELECT id FROM effects WHERE consumer = ?1)";

pub(crate) fn person(book: &Book<'_>, consumer: &str) -> rusqlite::Result<Person> {
    let effects = effects(book, consumer)?;
    let mut receipts = Vec::new();
    for (channel, foreign_id, recipient) in recipients(&effects, consumer) {
        receipts.extend(receipt(book, channel, foreign_id, &recipient)?);
    }
    Ok(Person {
        timeline: timeline::of_consumer(book, consumer, ROWS)?,
        receipts,
        arrivals: arrivals(book, consumer)?,
        sessions: sessions(book, consumer)?,
        interactions: interactions(book, consumer)?,
        consents: consents::of(book, consumer)?,
        effects,
    })
}

/// The groups a number is a member of, as far as anything is kept of them.
pub(crate) fn groups(book: &Book<'_>, member: &str) -> rusqlite::Result<Vec<String>> {
    let of = |table: &str| {
        format!(
            "SELECT consumer FROM {table} WHERE instr(',' || consumer || ',', ',' || ?1 || ',') > 0 AND consumer <> ?1"
        )
    };
    let select = ["effects", "sessions", "interactions", "consents"].map(of).join(" UNION ");
    book.connection.prepare(&select)?.query_map([member], |row| row.get(0))?.collect()
}

fn effects(book: &Book<'_>, consumer: &str) -> rusqlite::Result<Vec<KeptEffect>> {
    let select = "SELECT family, id, channel, target, foreign_id, trace, received_at, outcome, parties FROM effects
        WHERE consumer = ?1 AND +family <> ?2 ORDER BY received_at DESC LIMIT ?3";
    let read = |row: &Row<'_>| {
        let family: String = row.get(0)?;
        Ok(KeptEffect {
            family: Family::ALL.into_iter().find(|one| one.word() == family).ok_or_else(|| unknown(0, &family))?,
            id: MessageId::new(row.get::<_, String>(1)?),
            channel: ChannelName::new(row.get::<_, String>(2)?),
            target: row.get(3)?,
            foreign_id: row.get(4)?,
            trace: TraceId::new(row.get::<_, String>(5)?),
            received_at: timestamp(row.get(6)?),
            outcome: row.get(7)?,
            parties: row.get(8)?,
        })
    };
    let mut select = book.connection.prepare_cached(select)?;
    let mut effects: Vec<_> =
        select.query_map(params![consumer, Family::Receipts.word(), ROWS], read)?.collect::<Result<_, _>>()?;
    effects.reverse();
    Ok(effects)
}

/// Under what the receipts of these replies are kept.
fn recipients<'a>(effects: &'a [KeptEffect], consumer: &'a str) -> impl Iterator<Item = (&'a str, &'a str, String)> {
    effects.iter().filter(|effect| effect.family == Family::Replies).map(move |effect| {
        let parties = effect.parties.as_deref().and_then(|parties| serde_json::from_str::<Parties>(parties).ok());
        let recipient = parties.map_or_else(|| consumer.to_owned(), |parties| parties.to_id.into_inner());
        (effect.channel.as_str(), effect.foreign_id.as_str(), recipient)
    })
}

fn receipt(book: &Book<'_>, channel: &str, foreign_id: &str, recipient: &str) -> rusqlite::Result<Option<KeptReceipt>> {
    let select = "SELECT state, emitted FROM receipts WHERE channel = ?1 AND foreign_id = ?2 AND recipient = ?3";
    let read = |row: &Row<'_>| {
        Ok(KeptReceipt {
            channel: ChannelName::new(channel),
            foreign_id: foreign_id.to_owned(),
            recipient: recipient.to_owned(),
            state: row.get(0)?,
            emitted: row.get(1)?,
        })
    };
    let mut select = book.connection.prepare_cached(select)?;
    select.query_map(params![channel, foreign_id, recipient], read)?.next().transpose()
}

fn arrivals(book: &Book<'_>, consumer: &str) -> rusqlite::Result<Vec<KeptArrival>> {
    let select = format!(
        "SELECT a.channel, a.id, a.path, a.fingerprint, a.arrived_at FROM effects AS e
        JOIN arrivals AS a ON a.channel = e.channel AND a.id = e.id
        WHERE e.consumer = ?1 AND +e.family = '{}' ORDER BY a.arrived_at DESC LIMIT ?2",
        Family::Inbound.word()
    );
    let read = |row: &Row<'_>| {
        Ok(KeptArrival {
            channel: ChannelName::new(row.get::<_, String>(0)?),
            id: MessageId::new(row.get::<_, String>(1)?),
            path: row.get(2)?,
            fingerprint: row.get(3)?,
            arrived_at: timestamp(row.get(4)?),
        })
    };
    let mut select = book.connection.prepare_cached(&select)?;
    select.query_map(params![consumer, ROWS], read)?.collect()
}

fn sessions(book: &Book<'_>, consumer: &str) -> rusqlite::Result<Vec<KeptSession>> {
    let select = "SELECT channel, session, used_at FROM sessions WHERE consumer = ?1 ORDER BY channel";
    let read = |row: &Row<'_>| {
        Ok(KeptSession {
            channel: ChannelName::new(row.get::<_, String>(0)?),
            session: row.get(1)?,
            used_at: timestamp(row.get(2)?),
        })
    };
    book.connection.prepare_cached(select)?.query_map([consumer], read)?.collect()
}

fn interactions(book: &Book<'_>, consumer: &str) -> rusqlite::Result<Vec<KeptTask>> {
    let select = "SELECT channel, value, touched_at FROM interactions WHERE consumer = ?1 ORDER BY channel";
    let read = |row: &Row<'_>| {
        Ok(KeptTask {
            channel: ChannelName::new(row.get::<_, String>(0)?),
            interaction: row.get(1)?,
            touched_at: timestamp(row.get(2)?),
        })
    };
    book.connection.prepare_cached(select)?.query_map([consumer], read)?.collect()
}

pub(crate) fn erase(book: &Book<'_>, consumer: &str) -> rusqlite::Result<Erasure> {
    let going_on = millis(book.now.saturating_sub(GOES_ON).unwrap_or_default());
    let select = "SELECT count(*) FROM effects WHERE consumer = ?1 AND attempt IS NOT NULL AND outcome IS NULL AND deadline > ?2";
    let in_hand: u32 = book.connection.query_row(select, params![consumer, going_on], |row| row.get(0))?;
    if in_hand > 0 {
        return Ok(Erasure::InHand(in_hand.into()));
    }
    let delete = |statement: &str| -> rusqlite::Result<u64> {
        Ok(book.connection.prepare_cached(statement)?.execute([consumer])? as u64)
    };
    let replies = effects(book, consumer)?;
    let mut receipts = 0;
    for (channel, foreign_id, recipient) in recipients(&replies, consumer) {
        let statement = "DELETE FROM receipts WHERE channel = ?1 AND foreign_id = ?2 AND recipient = ?3";
        let key = params![channel, foreign_id, recipient];
        receipts += book.connection.prepare_cached(statement)?.execute(key)? as u64;
    }
    let arrives_again = millis(book.now.saturating_sub(ARRIVES_AGAIN).unwrap_or_default());
    // What stands for one of theirs, and has no effect of its own.
    let sights = format!(
        "DELETE FROM arrivals WHERE same_as IN {THEIRS} AND instr(id, '~') > 0 AND arrived_at < ?2
            AND fingerprint IN (SELECT fingerprint FROM arrivals WHERE id IN {THEIRS})"
    );
    book.connection.execute(&sights, params![consumer, arrives_again])?;
    let statement = format!("DELETE FROM arrivals WHERE id IN {THEIRS} AND arrived_at < ?2");
    let arrivals_gone = book.connection.execute(&statement, params![consumer, arrives_again])? as u64;
    let arrivals_kept = arrivals(book, consumer)?.len() as u64;
    let reports = delete(&format!(
        "DELETE FROM reports WHERE (provider, foreign_id) IN (SELECT provider, foreign_id FROM sent WHERE id IN {THEIRS})"
    ))?;
    let named = delete(&format!("DELETE FROM sent WHERE id IN {THEIRS}"))?;
    let written = delete("DELETE FROM timeline WHERE effect IN (SELECT row FROM effects WHERE consumer = ?1)")?;
    let timeline = written + own_lines(book, consumer)?;
    let sessions = delete("DELETE FROM sessions WHERE consumer = ?1")?;
    let interactions = delete("DELETE FROM interactions WHERE consumer = ?1")?;
    delete(&format!("DELETE FROM effects WHERE consumer = ?1 AND +family = '{}'", Family::Receipts.word()))?;
    let effects = tombstones(book, consumer)?;
    let reports = reports + named;
    Ok(Erasure::Erased(Erased {
        effects,
        timeline,
        receipts,
        arrivals: arrivals_gone,
        sessions,
        interactions,
        reports,
        arrivals_kept,
    }))
}

/// How many lines the effects of a consumer tell of themselves; none after this.
fn own_lines(book: &Book<'_>, consumer: &str) -> rusqlite::Result<u64> {
    let select = "SELECT count(*) + count(nullif(family, ?2)) + count(ended_at) FROM effects
        WHERE consumer = ?1 AND walk IS NOT NULL";
    let lines: u32 = book.connection.query_row(select, params![consumer, Family::Receipts.word()], |row| row.get(0))?;
    book.connection.execute("UPDATE effects SET walk = NULL WHERE consumer = ?1", [consumer])?;
    Ok(lines.into())
}

/// What was done stays done; what waits to be tried stays what it is. Neither knows for whom.
fn tombstones(book: &Book<'_>, consumer: &str) -> rusqlite::Result<u64> {
    let statement = "UPDATE effects SET consumer = '', parties = NULL,
        erased_at = CASE WHEN outcome IS NULL THEN NULL ELSE ?2 END,
        outcome = CASE WHEN outcome LIKE '{\"Sent\":%' THEN '{\"Sent\":{\"foreign_id\":null}}' ELSE outcome END
        WHERE consumer = ?1";
    Ok(book.connection.execute(statement, params![consumer, millis(book.now)])? as u64)
}
