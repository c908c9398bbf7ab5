use model::{Family, Receipt, ReceiptStatus};

use super::book::{Kept, ReceiptRow};
use super::{Book, Wants, digest, effects, text};
use crate::receipts::{State, Tries, recorded, verdict};
use crate::{Effect, ReceiptVerdict, What};

pub(crate) fn wants(receipt: &Receipt) -> Wants {
    let mut wants = Wants::default().effect(Family::Replies, &receipt.id).effect(Family::Receipts, &receipt.id);
    wants.receipts.insert(key(receipt));
    wants
}

/// The key of the receipts of an effect, to whom they name.
pub(super) fn key_of(effect: &Effect, recipient: &str) -> Vec<u8> {
    digest(&[effect.channel.as_str(), &effect.foreign_id, recipient])
}

/// A failure forbids a later success no more.
pub(super) fn reopen(book: &mut Book<'_>, key: &[u8]) {
    if let Some(kept) = book.receipts.get_mut(key)
        && kept.row.state == Ok(State::Failed)
    {
        kept.change().state = Ok(State::Reopened);
    }
}

fn key(receipt: &Receipt) -> Vec<u8> {
    digest(&[receipt.channel.as_str(), &receipt.genesys_message_id, receipt.to_id.expose()])
}

pub(crate) fn ask(book: &mut Book<'_>, receipt: &Receipt) -> Result<ReceiptVerdict, String> {
    if effects::is_erased(book, Family::Replies, &receipt.id) {
        return Ok(ReceiptVerdict::Outdated);
    }
    let next = State::of_receipt(receipt);
    let last = last(book, receipt)?;
    let found = verdict(last, next);
    if found != ReceiptVerdict::Emit {
        tell(book, receipt, What::ReceiptDropped, receipt.status.word());
        return Ok(found);
    }
    let before = book.receipts.get(&key(receipt)).map(|kept| kept.row.tries.clone()).unwrap_or_default();
    let tries = before.begun_by(book.owner);
    let found = if tries.is_some() { ReceiptVerdict::Emit } else { ReceiptVerdict::Poison };
    record(book, receipt, recorded(last, next), false, tries.unwrap_or_default());
    Ok(found)
}

/// A try to tell it came to an end, and Genesys does not have it.
pub(crate) fn released(book: &mut Book<'_>, receipt: &Receipt) -> Result<(), String> {
    let owner = book.owner;
    if let Some(kept) = book.receipts.get_mut(&key(receipt))
        && kept.row.tries.owner.as_deref() == Some(owner)
    {
        let begun = kept.row.tries.begun.saturating_sub(1);
        kept.change().tries = Tries { begun, owner: None };
    }
    Ok(())
}

pub(crate) fn emitted(book: &mut Book<'_>, receipt: &Receipt) -> Result<(), String> {
    let last = last(book, receipt)?;
    let state = recorded(last, State::of_receipt(receipt));
    match last {
        Some((last, true)) if last == state => return Ok(()),
        // A later state was recorded meanwhile, by another replica, and nothing goes back.
        Some((last, _)) if last != state => {
            tell(book, receipt, What::Receipt, &format!("{}, late", receipt.status.word()));
            return Ok(());
        }
        Some(_) | None => {}
    }
    record(book, receipt, state, true, Tries::default());
    let detail = match &receipt.status {
        ReceiptStatus::Failed(reason) => format!("Failed {}: {}", reason.code.number(), reason.message),
        other => other.word().to_owned(),
    };
    tell(book, receipt, What::Receipt, &detail);
    Ok(())
}

/// The last state recorded, and whether Genesys has it.
fn last(book: &Book<'_>, receipt: &Receipt) -> Result<Option<(State, bool)>, String> {
    let Some(kept) = book.receipts.get(&key(receipt)) else { return Ok(None) };
    Ok(Some((kept.row.state.clone()?, kept.row.emitted)))
}

/// A line in the timeline of the reply; found by its ids also where the reply was never begun.
fn tell(book: &mut Book<'_>, receipt: &Receipt, what: What, detail: &str) {
    let effect = Effect::from(receipt);
    if !effects::is_known(book, Family::Replies, &receipt.id) {
        effects::know(book, &effect);
    }
    book.tell(&effect, what, detail, book.now);
}

fn record(book: &mut Book<'_>, receipt: &Receipt, state: State, emitted: bool, tries: Tries) {
    let about = || Some([receipt.channel.as_str(), &receipt.genesys_message_id, receipt.to_id.expose()].map(text));
    let made = || Kept::made(ReceiptRow { state: Ok(state), emitted, tries: Tries::default(), about: about() });
    let row = book.receipts.entry(key(receipt)).or_insert_with(made).change();
    row.state = Ok(state);
    row.emitted = emitted;
    row.tries = tries;
}
