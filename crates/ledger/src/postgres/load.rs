use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::future::{join4, join5};
use jiff::Timestamp;
use model::Family;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use super::book::{ArrivalRow, Attempts, ConsentRow, Kept, ReceiptRow, ReportRow, SentRow, SessionRow};
use super::fault::{Fault, is_echo};
use super::link::Link;
use super::{Book, Wants, digest, reports, timestamp, unknown};
use crate::marks::MarkRow;
use crate::receipts::{State, Tries};

/// Fingerprints share this many locks: few enough for the server's table of locks, however many processes there are.
const BUCKETS: u32 = 1_024;
/// What the locks of fingerprints are called among all of a database.
const ARRIVING: i32 = 0x6361_7573;

/// How long a transaction waits for another process' locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As the connection says.
    Usual,
    /// Hardly: it was tried in a larger group before.
    Little,
}

impl Patience {
    const fn begin(self) -> &'static str {
        match self {
            Self::Usual => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            Self::Little => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '30ms'",
        }
    }
}

/// Whoever writes, and when.
pub(super) struct Hand<'a> {
    pub(super) owner: &'a str,
    pub(super) abandoned: &'a HashSet<String>,
    /// Where the time is given: what time it is.
    pub(super) now: Option<Timestamp>,
}

/// Begins a transaction and reads what its jobs want, in one round trip. The time is read last, once the locks are held.
pub(super) async fn load<'a>(
    link: &Link,
    hand: &Hand<'a>,
    wants: &Wants,
    patience: Patience,
) -> Result<Book<'a>, Fault> {
    let statements = &link.statements;
    let buckets = buckets(wants);
    let (families, ids): (Vec<_>, Vec<_>) = wants.effects.iter().map(|(family, id)| (*family, id.as_str())).unzip();
    let receipts: Vec<_> = wants.receipts.iter().map(Vec::as_slice).collect();
    let (channels, arrived): (Vec<_>, Vec<_>) =
        wants.arrived.iter().map(|(one, two)| (one.as_str(), two.as_str())).unzip();
    let (near, prints): (Vec<_>, Vec<_>) = wants.twins.keys().map(|(one, two)| (one.as_str(), two.as_str())).unzip();
    let (lows, highs): (Vec<i64>, Vec<i64>) = wants.twins.values().copied().unzip();
    let sessions: Vec<_> = wants.sessions.iter().map(Vec::as_slice).collect();
    let sent: Vec<_> = wants.sent.iter().map(Vec::as_slice).collect();
    let marks: Vec<_> = wants.marks.iter().map(String::as_str).collect();
    let consents: Vec<_> = wants.consents.iter().map(Vec::as_slice).collect();

    let lock: [&(dyn ToSql + Sync); 2] = [&ARRIVING, &buckets];
    let effect: [&(dyn ToSql + Sync); 2] = [&families, &ids];
    let arrival: [&(dyn ToSql + Sync); 2] = [&channels, &arrived];
    let twin: [&(dyn ToSql + Sync); 4] = [&near, &prints, &lows, &highs];
    let receipt: [&(dyn ToSql + Sync); 1] = [&receipts];
    let session: [&(dyn ToSql + Sync); 1] = [&sessions];
    let called: [&(dyn ToSql + Sync); 1] = [&sent];
    let mark: [&(dyn ToSql + Sync); 1] = [&marks];
    let consent: [&(dyn ToSql + Sync); 1] = [&consents];
    // Polled in this order, which is the order in which they are sent: locks of fingerprints before locks of rows.
    let (begun, locked, effects, receipts, rest) = join5(
        link.client.batch_execute(patience.begin()),
        ask(link, &statements.lock_arrivals, &lock, !buckets.is_empty()),
        ask(link, &statements.load_effects, &effect, !ids.is_empty()),
        ask(link, &statements.load_receipts, &receipt, !receipts.is_empty()),
        join4(
            ask(link, &statements.load_arrived, &arrival, !arrived.is_empty()),
            ask(link, &statements.load_twins, &twin, !near.is_empty()),
            ask(link, &statements.load_sessions, &session, !sessions.is_empty()),
            join5(
                ask(link, &statements.load_marks, &mark, !marks.is_empty()),
                ask(link, &statements.load_sent, &called, !sent.is_empty()),
                ask(link, &statements.load_reports, &called, !sent.is_empty()),
                ask(link, &statements.load_consents, &consent, !consents.is_empty()),
                ask(link, &statements.now, &[], true),
            ),
        ),
    )
    .await;
    let (arrived, twins, sessions, (marks, sent, reports, consents, now)) = rest;
    let [effects, receipts, arrived, twins, sessions, marks, sent, reports, consents, now, _locked] =
        all(begun, [effects, receipts, arrived, twins, sessions, marks, sent, reports, consents, now, locked])?;
    let database =
        now.first().map(|row| row.try_get(0).map(timestamp)).transpose().map_err(|error| Fault::of(&error))?;
    let rows: [&[Row]; 7] = [&effects, &receipts, &arrived, &twins, &sessions, &marks, &consents];
    let book = fill(empty(hand, database), rows).map_err(|error| Fault::of(&error))?;
    fill_reports(book, &sent, &reports).map_err(|error| Fault::of(&error))
}

fn empty<'a>(hand: &Hand<'a>, database: Option<Timestamp>) -> Book<'a> {
    Book {
        now: hand.now.or(database).unwrap_or(Timestamp::UNIX_EPOCH),
        owner: hand.owner,
        abandoned: hand.abandoned,
        effects: BTreeMap::new(),
        receipts: BTreeMap::new(),
        arrived: BTreeMap::new(),
        arrivals: BTreeMap::new(),
        sessions: BTreeMap::new(),
        sent: BTreeMap::new(),
        reports: BTreeMap::new(),
        marks: BTreeMap::new(),
        consents: BTreeMap::new(),
        lines: Vec::new(),
        opened: Vec::new(),
    }
}

async fn ask(
    link: &Link,
    statement: &Statement,
    parameters: &[&(dyn ToSql + Sync)],
    wanted: bool,
) -> Result<Vec<Row>, Error> {
    if wanted { link.client.query(statement, parameters).await } else { Ok(Vec::new()) }
}

/// Every answer, or the first failure that is no echo of another one.
pub(super) fn all<T, const N: usize>(
    begun: Result<(), Error>,
    answers: [Result<T, Error>; N],
) -> Result<[T; N], Fault> {
    let failures = begun.as_ref().err().into_iter().chain(answers.iter().filter_map(|answer| answer.as_ref().err()));
    let mut failures = failures.peekable();
    if failures.peek().is_none() {
        return Ok(answers.map(|answer| answer.expect("none of them failed")));
    }
    let first = failures.find(|error| !is_echo(error));
    Err(first.map_or_else(|| Fault::Lost("its transaction was in a wrong state".to_owned()), Fault::of))
}

/// In order, so that two processes never wait for each other.
fn buckets(wants: &Wants) -> Vec<i32> {
    let number = |hash: &[u8]| {
        let number = hash.iter().take(4).fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        i32::try_from(number % BUCKETS).unwrap_or_default()
    };
    let bucket = |(channel, print): &(String, String)| number(&digest(&[channel, print]));
    let called = wants.sent.iter().chain(&wants.consents).map(|key| number(key));
    wants.twins.keys().map(bucket).chain(called).collect::<BTreeSet<_>>().into_iter().collect()
}

fn fill<'a>(mut book: Book<'a>, rows: [&[Row]; 7]) -> Result<Book<'a>, Error> {
    let [effects, receipts, arrived, twins, sessions, marks, consents] = rows;
    for row in effects {
        let family: &str = row.try_get(0)?;
        let Some(family) = Family::ALL.into_iter().find(|one| one.word() == family) else { continue };
        let attempts = Attempts {
            attempt: row.try_get(2)?,
            owner: row.try_get(3)?,
            began_at: row.try_get(4)?,
            deadline: row.try_get(5)?,
            begun: row.try_get(6)?,
            outcome: row.try_get(7)?,
            told: row.try_get(8)?,
            erased: row.try_get(9)?,
            walk: row.try_get(10)?,
            ended_at: row.try_get(11)?,
            about: None,
        };
        book.effects.insert((family.word(), row.try_get(1)?), Kept::read(attempts));
    }
    for row in receipts {
        let word: &str = row.try_get(1)?;
        let state = State::from_word(word).ok_or_else(|| unknown(word));
        let begun = u32::try_from(row.try_get::<_, i32>(3)?).unwrap_or_default();
        let tries = Tries { begun, owner: row.try_get(4)? };
        let known = ReceiptRow { state, emitted: row.try_get(2)?, tries, about: None };
        book.receipts.insert(row.try_get(0)?, Kept::read(known));
    }
    for row in arrived {
        book.arrived.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
    }
    for row in twins {
        let known = ArrivalRow {
            channel: row.try_get(0)?,
            id: row.try_get(1)?,
            path: row.try_get(2)?,
            fingerprint: row.try_get(3)?,
            sent_at: row.try_get(4)?,
            same_as: row.try_get(5)?,
        };
        let print = (known.channel.clone(), known.fingerprint.clone());
        book.arrivals.entry(print).or_default().push(Kept::read(known));
    }
    for row in sessions {
        let known = SessionRow { session: row.try_get(1)?, used_at: row.try_get(2)?, about: None };
        book.sessions.insert(row.try_get(0)?, Kept::read(known));
    }
    for row in marks {
        let known = MarkRow {
            value: row.try_get(1)?,
            version: row.try_get(2)?,
            owner: row.try_get(3)?,
            until: row.try_get(4)?,
        };
        book.marks.insert(row.try_get(0)?, Kept::read(known));
    }
    for row in consents {
        book.consents.insert(row.try_get(8)?, Kept::read(ConsentRow::read(row)?));
    }
    Ok(book)
}

fn fill_reports<'a>(mut book: Book<'a>, sent: &[Row], reports: &[Row]) -> Result<Book<'a>, Error> {
    for row in sent {
        let passport = reports::passport(row)?;
        book.sent.insert(row.try_get(0)?, Kept::read(SentRow { passport, about: None }));
    }
    for row in reports {
        let status: &str = row.try_get(2)?;
        let status = serde_json::from_str(status).map_err(|_| unknown("a report"));
        let known = ReportRow { status, reported_at: row.try_get(3)?, about: None };
        book.reports.insert((row.try_get(0)?, row.try_get(1)?), Kept::read(known));
    }
    Ok(book)
}
