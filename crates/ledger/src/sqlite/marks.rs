use rusqlite::{OptionalExtension, params};

use super::{Book, millis, timestamp};
use crate::marks::{Free, MarkRow};
use crate::{Lease, Mark};

pub(crate) fn find(book: &Book<'_>, name: &str) -> rusqlite::Result<Option<Mark>> {
    row(book, name).map(|row| row.and_then(|row| row.mark()))
}

pub(crate) fn put(book: &Book<'_>, name: &str, expected: u64, value: &str) -> rusqlite::Result<Option<u64>> {
    let mut row = row(book, name)?.unwrap_or_default();
    let Some(version) = row.put(expected, value) else { return Ok(None) };
    write(book, name, &row)?;
    Ok(Some(version))
}

pub(crate) fn lease(book: &Book<'_>, name: &str, owner: &str, millis_long: i64) -> rusqlite::Result<Lease> {
    let (now, mut row) = (millis(book.now), row(book, name)?.unwrap_or_default());
    match row.lease(owner, now, millis_long) {
        Free::Taken(until) => {
            write(book, name, &row)?;
            Ok(Lease::Yours { until: timestamp(until) })
        }
        Free::Held(until) => Ok(Lease::Others { until: timestamp(until) }),
    }
}

pub(crate) fn release(book: &Book<'_>, name: &str, owner: &str) -> rusqlite::Result<()> {
    let statement = "UPDATE marks SET lease_owner = NULL, lease_until = NULL WHERE name = ?1 AND lease_owner = ?2";
    book.connection.prepare_cached(statement)?.execute((name, owner)).map(drop)
}

fn row(book: &Book<'_>, name: &str) -> rusqlite::Result<Option<MarkRow>> {
    let select = "SELECT value, version, lease_owner, lease_until FROM marks WHERE name = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(MarkRow { value: row.get(0)?, version: row.get(1)?, owner: row.get(2)?, until: row.get(3)? })
    };
    book.connection.prepare_cached(select)?.query_row([name], read).optional()
}

fn write(book: &Book<'_>, name: &str, row: &MarkRow) -> rusqlite::Result<()> {
    let statement = "INSERT INTO marks (name, value, version, lease_owner, lease_until) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET value = excluded.value, version = excluded.version,
            lease_owner = excluded.lease_owner, lease_until = excluded.lease_until";
    let arguments = params![name, row.value, row.version, row.owner, row.until];
    book.connection.prepare_cached(statement)?.execute(arguments).map(drop)
}
