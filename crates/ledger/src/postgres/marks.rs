use super::book::Kept;
use super::{Book, Wants, millis, text, timestamp};
use crate::marks::{Free, MarkRow};
use crate::{Lease, Mark};

pub(crate) fn wants(name: &str) -> Wants {
    let mut wants = Wants::default();
    wants.marks.insert(text(name));
    wants
}

pub(crate) fn find(book: &mut Book<'_>, name: &str) -> Result<Option<Mark>, String> {
    Ok(book.marks.get(&text(name)).and_then(|kept| kept.row.clone().mark()))
}

pub(crate) fn put(book: &mut Book<'_>, name: &str, expected: u64, value: &str) -> Result<Option<u64>, String> {
    let mut row = row(book, name);
    let version = row.put(expected, &text(value));
    if version.is_some() {
        write(book, name, row);
    }
    Ok(version)
}

pub(crate) fn lease(book: &mut Book<'_>, name: &str, owner: &str, long: i64) -> Result<Lease, String> {
    let mut row = row(book, name);
    match row.lease(&text(owner), millis(book.now), long) {
        Free::Taken(until) => {
            write(book, name, row);
            Ok(Lease::Yours { until: timestamp(until) })
        }
        Free::Held(until) => Ok(Lease::Others { until: timestamp(until) }),
    }
}

pub(crate) fn release(book: &mut Book<'_>, name: &str, owner: &str) -> Result<(), String> {
    let mut row = row(book, name);
    if row.owner.as_deref() == Some(text(owner).as_str()) {
        (row.owner, row.until) = (None, None);
        write(book, name, row);
    }
    Ok(())
}

fn row(book: &Book<'_>, name: &str) -> MarkRow {
    book.marks.get(&text(name)).map(|kept| kept.row.clone()).unwrap_or_default()
}

/// A row that was not there cannot be locked: it is inserted, and whoever does so second is told to look again.
fn write(book: &mut Book<'_>, name: &str, row: MarkRow) {
    match book.marks.get_mut(&text(name)) {
        Some(kept) => *kept.change() = row,
        None => drop(book.marks.insert(text(name), Kept::made(row))),
    }
}
