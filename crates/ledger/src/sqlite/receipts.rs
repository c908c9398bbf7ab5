use model::{Family, Receipt, ReceiptStatus};
use rusqlite::{OptionalExtension, params};

use super::{Book, millis, timeline};
use crate::receipts::{State, verdict};
use crate::{Effect, ReceiptVerdict, What};

pub(crate) fn ask(book: &Book<'_>, receipt: &Receipt) -> rusqlite::Result<ReceiptVerdict> {
    let select = "SELECT state, emitted FROM receipts WHERE channel = ?1 AND foreign_id = ?2 AND recipient = ?3";
    let key = params![receipt.channel.as_str(), receipt.genesys_message_id, receipt.to_id.expose()];
    let last = book.connection.prepare_cached(select)?.query_row(key, |row| {
        let word: String = row.get(0)?;
        Ok((word, row.get::<_, bool>(1)?))
    });
    let last = last.optional()?.and_then(|(word, emitted)| Some((State::from_word(&word)?, emitted)));
    let next = State::of(&receipt.status);
    let found = verdict(last, next);
    if found == ReceiptVerdict::Emit {
        record(book, receipt, next, false)?;
    } else {
        timeline::write(book, &effect(receipt), What::ReceiptDropped, receipt.status.word(), book.now)?;
    }
    Ok(found)
}

pub(crate) fn emitted(book: &Book<'_>, receipt: &Receipt) -> rusqlite::Result<()> {
    record(book, receipt, State::of(&receipt.status), true)?;
    let detail = match &receipt.status {
        ReceiptStatus::Failed(reason) => format!("Failed {}: {}", reason.code.number(), reason.message),
        other => other.word().to_owned(),
    };
    timeline::write(book, &effect(receipt), What::Receipt, &detail, book.now)
}

fn record(book: &Book<'_>, receipt: &Receipt, state: State, emitted: bool) -> rusqlite::Result<()> {
    let statement = "INSERT INTO receipts (channel, foreign_id, recipient, state, emitted, touched_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT DO UPDATE SET state = excluded.state, emitted = excluded.emitted, touched_at = excluded.touched_at";
    book.connection.prepare_cached(statement)?.execute(params![
        receipt.channel.as_str(),
        receipt.genesys_message_id,
        receipt.to_id.expose(),
        state.word(),
        emitted,
        millis(book.now),
    ])?;
    Ok(())
}

/// A receipt's lines stand in the timeline of the reply it is about.
fn effect(receipt: &Receipt) -> Effect {
    Effect {
        family: Family::Receipts,
        id: receipt.id.clone(),
        channel: receipt.channel.clone(),
        target: receipt.genesys.clone(),
        consumer: receipt.to.clone(),
        foreign_id: receipt.genesys_message_id.clone(),
        trace: receipt.trace.clone(),
        received_at: receipt.received_at,
    }
}
