use model::{Family, Receipt, ReceiptStatus};
use rusqlite::{OptionalExtension, params};

use super::{Book, effects, millis, timeline, unknown};
use crate::receipts::{State, Tries, recorded, verdict};
use crate::{Effect, ReceiptVerdict, What};

pub(crate) fn ask(book: &Book<'_>, receipt: &Receipt) -> rusqlite::Result<ReceiptVerdict> {
    if effects::is_erased(book, Family::Replies, &receipt.id)? {
        return Ok(ReceiptVerdict::Outdated);
    }
    let next = State::of_receipt(receipt);
    let last = last(book, receipt)?;
    let found = verdict(last.as_ref().map(|last| (last.state, last.emitted)), next);
    if found != ReceiptVerdict::Emit {
        write(book, receipt, What::ReceiptDropped, receipt.status.word())?;
        return Ok(found);
    }
    let state = recorded(last.as_ref().map(|last| (last.state, last.emitted)), next);
    let before = last.map(|last| last.tries).unwrap_or_default();
    match before.begun_by(book.owner) {
        Some(tries) => record(book, receipt, state, false, &tries).map(|()| ReceiptVerdict::Emit),
        None => record(book, receipt, state, false, &Tries::default()).map(|()| ReceiptVerdict::Poison),
    }
}

/// A try to tell it came to an end, and Genesys does not have it.
pub(crate) fn released(book: &Book<'_>, receipt: &Receipt) -> rusqlite::Result<()> {
    let statement = "UPDATE receipts SET begun = max(begun - 1, 0), owner = NULL
        WHERE channel = ?1 AND foreign_id = ?2 AND recipient = ?3 AND owner = ?4";
    let key = params![receipt.channel.as_str(), receipt.genesys_message_id, receipt.to_id.expose(), book.owner];
    book.connection.prepare_cached(statement)?.execute(key).map(drop)
}

pub(crate) fn emitted(book: &Book<'_>, receipt: &Receipt) -> rusqlite::Result<()> {
    let last = last(book, receipt)?;
    let state = recorded(last.as_ref().map(|last| (last.state, last.emitted)), State::of_receipt(receipt));
    let told = match last {
        None => false,
        Some(last) if last.state == state => last.emitted,
        // A later state was recorded meanwhile, by another replica, and nothing goes back.
        Some(_) => return write(book, receipt, What::Receipt, &format!("{}, late", receipt.status.word())),
    };
    if told {
        return Ok(());
    }
    record(book, receipt, state, true, &Tries::default())?;
    let detail = match &receipt.status {
        ReceiptStatus::Failed(reason) => format!("Failed {}: {}", reason.code.number(), reason.message),
        other => other.word().to_owned(),
    };
    write(book, receipt, What::Receipt, &detail)
}

/// A failure forbids a later success no more.
pub(super) fn reopen(book: &Book<'_>, channel: &str, foreign_id: &str, recipient: &str) -> rusqlite::Result<()> {
    let statement = "UPDATE receipts SET state = ?4, touched_at = ?6
        WHERE channel = ?1 AND foreign_id = ?2 AND recipient = ?3 AND state = ?5";
    let (from, to) = (State::Failed.word(), State::Reopened.word());
    let arguments = params![channel, foreign_id, recipient, to, from, millis(book.now)];
    book.connection.prepare_cached(statement)?.execute(arguments).map(drop)
}

/// The last state recorded, and whether Genesys has it.
pub(super) fn last(book: &Book<'_>, receipt: &Receipt) -> rusqlite::Result<Option<Last>> {
    let select =
        "SELECT state, emitted, begun, owner FROM receipts WHERE channel = ?1 AND foreign_id = ?2 AND recipient = ?3";
    let key = params![receipt.channel.as_str(), receipt.genesys_message_id, receipt.to_id.expose()];
    let last = book.connection.prepare_cached(select)?.query_row(key, |row| {
        let word: String = row.get(0)?;
        Ok((word, row.get::<_, bool>(1)?, Tries { begun: row.get(2)?, owner: row.get(3)? }))
    });
    let Some((word, emitted, tries)) = last.optional()? else { return Ok(None) };
    let state = State::from_word(&word).ok_or_else(|| unknown(0, &word))?;
    Ok(Some(Last { state, emitted, tries }))
}

/// What was recorded last of the receipts of a reply.
pub(super) struct Last {
    pub(super) state: State,
    pub(super) emitted: bool,
    tries: Tries,
}

/// A line in the timeline of the reply; found by its ids also where the reply was never begun.
fn write(book: &Book<'_>, receipt: &Receipt, what: What, detail: &str) -> rusqlite::Result<()> {
    let row = match effects::row(book, Family::Replies, &receipt.id)? {
        Some(row) => row,
        None => effects::know(book, &Effect::from(receipt))?,
    };
    timeline::write(book, row, what, detail, book.now)
}

fn record(book: &Book<'_>, receipt: &Receipt, state: State, emitted: bool, tries: &Tries) -> rusqlite::Result<()> {
    let statement = "INSERT INTO receipts (channel, foreign_id, recipient, state, emitted, touched_at, begun, owner)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT DO UPDATE SET state = excluded.state, emitted = excluded.emitted, touched_at = excluded.touched_at,
        begun = excluded.begun, owner = excluded.owner";
    book.connection.prepare_cached(statement)?.execute(params![
        receipt.channel.as_str(),
        receipt.genesys_message_id,
        receipt.to_id.expose(),
        state.word(),
        emitted,
        millis(book.now),
        tries.begun,
        tries.owner,
    ])?;
    Ok(())
}
