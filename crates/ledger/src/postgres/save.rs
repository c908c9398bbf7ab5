use futures_util::future::{join3, join5};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

use super::book::{ArrivalRow, ConsentRow, Kept, NewLine, Origin, SessionRow};
use super::fault::Fault;
use super::link::Link;
use super::load::all;
use super::{Book, millis, text};
use crate::Effect;
use crate::passport::{status_written, written};

/// Writes what changed and commits, in one round trip. What fails undoes all of it: the commit of a failed transaction is a
/// rollback.
pub(super) async fn save(link: &Link, book: &Book<'_>) -> Result<(), Fault> {
    let statements = &link.statements;
    let (made, changed) = (Effects::of(book, Origin::Made), Effects::of(book, Origin::Changed));
    let (new, again) = (Receipts::of(book, Origin::Made), Receipts::of(book, Origin::Changed));
    let arrivals: Vec<_> = book.arrivals.values().flatten().filter(is_made).map(|kept| &kept.row).collect();
    let (written, sessions) = sessions(book);
    let at = millis(book.now);
    // In this order in every process, each in the order of its keys.
    let (one, two, three, four, rest) = join5(
        make_effects(link, &made, at),
        change_effects(link, &changed, at),
        make_receipts(link, &new, at),
        put(
            link,
            &statements.change_receipts,
            &[&again.keys, &again.states, &again.emitted, &again.begun, &again.owners, &at],
            again.keys.len(),
        ),
        join5(
            make_arrivals(link, &arrivals, at),
            keep_sessions(link, &written, &sessions, at),
            join3(
                write_marks(link, &statements.make_marks, book, Origin::Made),
                write_marks(link, &statements.change_marks, book, Origin::Changed),
                keep_consents(link, book),
            ),
            make_lines(link, &book.lines),
            join3(make_sent(link, book), make_reports(link, book), link.client.batch_execute("COMMIT")),
        ),
    )
    .await;
    let (five, six, (seven, eight, nine), ten, (eleven, twelve, committed)) = rest;
    all(committed, [one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve]).map(|_done| ())
}

fn is_made<T>(kept: &&Kept<T>) -> bool {
    kept.origin == Origin::Made
}

async fn put(
    link: &Link,
    statement: &Statement,
    parameters: &[&(dyn ToSql + Sync)],
    rows: usize,
) -> Result<u64, Error> {
    if rows == 0 { Ok(0) } else { link.client.execute(statement, parameters).await }
}

/// Effects as columns.
#[derive(Default)]
struct Effects<'a> {
    families: Vec<&'a str>,
    ids: Vec<&'a str>,
    attempts: Vec<Option<&'a str>>,
    owners: Vec<Option<&'a str>>,
    began_at: Vec<Option<i64>>,
    deadlines: Vec<Option<i64>>,
    begun: Vec<i32>,
    outcomes: Vec<Option<&'a str>>,
    told: Vec<bool>,
    walks: Vec<Option<&'a str>>,
    ended_at: Vec<Option<i64>>,
    about: Vec<&'a Effect>,
}

impl<'a> Effects<'a> {
    fn of(book: &'a Book<'_>, origin: Origin) -> Self {
        let mut columns = Self::default();
        for ((family, id), kept) in book.effects.iter().filter(|(_, kept)| kept.origin == origin) {
            columns.families.push(family);
            columns.ids.push(id);
            columns.attempts.push(kept.row.attempt.as_deref());
            columns.owners.push(kept.row.owner.as_deref());
            columns.began_at.push(kept.row.began_at);
            columns.deadlines.push(kept.row.deadline);
            columns.begun.push(kept.row.begun);
            columns.outcomes.push(kept.row.outcome.as_deref());
            columns.told.push(kept.row.told);
            columns.walks.push(kept.row.walk.as_deref());
            columns.ended_at.push(kept.row.ended_at);
            columns.about.extend(&kept.row.about);
        }
        columns
    }

    fn texts(&self, of: impl Fn(&Effect) -> &str) -> Vec<String> {
        self.about.iter().map(|effect| text(of(effect))).collect()
    }
}

async fn make_effects(link: &Link, made: &Effects<'_>, at: i64) -> Result<u64, Error> {
    let channels = made.texts(|effect| effect.channel.as_str());
    let targets = made.texts(|effect| effect.target.as_str());
    let consumers = made.texts(|effect| effect.consumer.normalised());
    let foreign_ids = made.texts(|effect| &effect.foreign_id);
    let traces = made.texts(|effect| effect.trace.as_str());
    let received: Vec<_> = made.about.iter().map(|effect| millis(effect.received_at)).collect();
    let parties: Vec<_> =
        made.about.iter().map(|effect| written(effect.parties.as_ref()).map(|json| text(&json))).collect();
    let parameters: [&(dyn ToSql + Sync); 19] = [
        &made.families,
        &made.ids,
        &channels,
        &targets,
        &consumers,
        &foreign_ids,
        &traces,
        &received,
        &made.attempts,
        &made.owners,
        &made.began_at,
        &made.deadlines,
        &made.begun,
        &made.outcomes,
        &made.told,
        &parties,
        &made.walks,
        &made.ended_at,
        &at,
    ];
    put(link, &link.statements.make_effects, &parameters, made.ids.len()).await
}

async fn change_effects(link: &Link, changed: &Effects<'_>, at: i64) -> Result<u64, Error> {
    let parameters: [&(dyn ToSql + Sync); 12] = [
        &changed.families,
        &changed.ids,
        &changed.attempts,
        &changed.owners,
        &changed.began_at,
        &changed.deadlines,
        &changed.begun,
        &changed.outcomes,
        &changed.told,
        &changed.walks,
        &changed.ended_at,
        &at,
    ];
    put(link, &link.statements.change_effects, &parameters, changed.ids.len()).await
}

/// Receipts as columns.
#[derive(Default)]
struct Receipts<'a> {
    keys: Vec<&'a [u8]>,
    about: [Vec<&'a str>; 3],
    states: Vec<&'static str>,
    emitted: Vec<bool>,
    begun: Vec<i32>,
    owners: Vec<Option<&'a str>>,
}

impl<'a> Receipts<'a> {
    fn of(book: &'a Book<'_>, origin: Origin) -> Self {
        let mut columns = Self::default();
        for (key, kept) in book.receipts.iter().filter(|(_, kept)| kept.origin == origin) {
            // What cannot be read is never changed.
            let Ok(state) = &kept.row.state else { continue };
            columns.keys.push(key);
            columns.states.push(state.word());
            columns.emitted.push(kept.row.emitted);
            columns.begun.push(i32::try_from(kept.row.tries.begun).unwrap_or(i32::MAX));
            columns.owners.push(kept.row.tries.owner.as_deref());
            for (column, word) in columns.about.iter_mut().zip(kept.row.about.iter().flatten()) {
                column.push(word);
            }
        }
        columns
    }
}

async fn make_receipts(link: &Link, new: &Receipts<'_>, at: i64) -> Result<u64, Error> {
    let [channels, foreign_ids, recipients] = &new.about;
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&new.keys, channels, foreign_ids, recipients, &new.states, &new.emitted, &new.begun, &new.owners, &at];
    put(link, &link.statements.make_receipts, &parameters, new.keys.len()).await
}

async fn make_arrivals(link: &Link, new: &[&ArrivalRow], at: i64) -> Result<u64, Error> {
    // By the key, whatever their fingerprints: another process may be about to write the same ones.
    let mut new = new.to_vec();
    new.sort_by(|one, other| (&one.channel, &one.id).cmp(&(&other.channel, &other.id)));
    let texts = |of: fn(&ArrivalRow) -> &str| -> Vec<&str> { new.iter().map(|row| of(row)).collect() };
    let sent_at: Vec<_> = new.iter().map(|row| row.sent_at).collect();
    let same_as: Vec<_> = new.iter().map(|row| row.same_as.as_deref()).collect();
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &texts(|row| &row.channel),
        &texts(|row| &row.id),
        &texts(|row| &row.path),
        &texts(|row| &row.fingerprint),
        &sent_at,
        &same_as,
        &at,
    ];
    put(link, &link.statements.make_arrivals, &parameters, new.len()).await
}

fn sessions<'a>(book: &'a Book<'_>) -> (Vec<&'a [u8]>, Vec<&'a SessionRow>) {
    let written = book.sessions.iter().filter(|(_, kept)| kept.origin != Origin::Read);
    written.map(|(key, kept)| (key.as_slice(), &kept.row)).unzip()
}

async fn keep_sessions(link: &Link, keys: &[&[u8]], rows: &[&SessionRow], at: i64) -> Result<u64, Error> {
    let (channels, consumers): (Vec<_>, Vec<_>) = rows
        .iter()
        .filter_map(|row| row.about.as_ref())
        .map(|[channel, consumer]| (channel.as_str(), consumer))
        .unzip();
    let sessions: Vec<_> = rows.iter().map(|row| row.session.as_str()).collect();
    let parameters: [&(dyn ToSql + Sync); 5] = [&keys, &channels, &consumers, &sessions, &at];
    put(link, &link.statements.keep_sessions, &parameters, keys.len()).await
}

async fn write_marks(link: &Link, statement: &Statement, book: &Book<'_>, origin: Origin) -> Result<u64, Error> {
    let (names, rows): (Vec<_>, Vec<_>) = book
        .marks
        .iter()
        .filter(|(_, kept)| kept.origin == origin)
        .map(|(name, kept)| (name.as_str(), &kept.row))
        .unzip();
    let values: Vec<_> = rows.iter().map(|row| row.value.as_str()).collect();
    let versions: Vec<_> = rows.iter().map(|row| row.version).collect();
    let owners: Vec<_> = rows.iter().map(|row| row.owner.as_deref()).collect();
    let until: Vec<_> = rows.iter().map(|row| row.until).collect();
    let parameters: [&(dyn ToSql + Sync); 5] = [&names, &values, &versions, &owners, &until];
    put(link, statement, &parameters, names.len()).await
}

async fn keep_consents(link: &Link, book: &Book<'_>) -> Result<u64, Error> {
    let written = book.consents.iter().filter(|(_, kept)| kept.origin != Origin::Read);
    let (keys, rows): (Vec<&[u8]>, Vec<&ConsentRow>) = written.map(|(key, kept)| (key.as_slice(), &kept.row)).unzip();
    let texts = |of: fn(&ConsentRow) -> &str| -> Vec<&str> { rows.iter().map(|row| of(row)).collect() };
    let at: Vec<_> = rows.iter().map(|row| row.changed_at).collect();
    let heard_at: Vec<_> = rows.iter().map(|row| row.heard_at).collect();
    let said_at: Vec<_> = rows.iter().map(|row| row.said_at).collect();
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &keys,
        &texts(|row| &row.channel),
        &texts(|row| &row.consumer),
        &texts(|row| &row.state),
        &texts(|row| &row.reason),
        &texts(|row| &row.changed_by),
        &at,
        &heard_at,
        &said_at,
    ];
    put(link, &link.statements.keep_consents, &parameters, keys.len()).await
}

async fn make_lines(link: &Link, lines: &[NewLine]) -> Result<u64, Error> {
    let texts = |of: fn(&NewLine) -> &str| -> Vec<&str> { lines.iter().map(of).collect() };
    let at: Vec<_> = lines.iter().map(|line| line.at).collect();
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &at,
        &texts(|line| &line.id),
        &texts(|line| line.family),
        &texts(|line| &line.channel),
        &texts(|line| &line.foreign_id),
        &texts(|line| &line.trace),
        &texts(|line| line.what),
        &texts(|line| &line.detail),
    ];
    put(link, &link.statements.make_lines, &parameters, lines.len()).await
}

async fn make_sent(link: &Link, book: &Book<'_>) -> Result<u64, Error> {
    let made = || book.sent.iter().filter_map(|(key, kept)| Some((key.as_slice(), kept.row.about.as_ref()?)));
    let keys: Vec<&[u8]> = made().map(|(key, _)| key).collect();
    let column = |at: usize| -> Vec<&str> { made().map(|(_, about)| about[at].as_str()).collect() };
    let at = millis(book.now);
    let parameters: [&(dyn ToSql + Sync); 5] = [&keys, &column(0), &column(1), &column(2), &at];
    put(link, &link.statements.make_sent, &parameters, keys.len()).await
}

async fn make_reports(link: &Link, book: &Book<'_>) -> Result<u64, Error> {
    let (mut keys, mut states) = (Vec::new(), Vec::new());
    let (mut providers, mut statuses) = (Vec::new(), Vec::new());
    for ((key, state), kept) in &book.reports {
        let (Some(provider), Ok(status)) = (&kept.row.about, &kept.row.status) else { continue };
        keys.push(key.as_slice());
        states.push(state.as_str());
        providers.push(provider.as_str());
        statuses.push(text(&status_written(status)));
    }
    let at = millis(book.now);
    let parameters: [&(dyn ToSql + Sync); 5] = [&keys, &states, &providers, &statuses, &at];
    put(link, &link.statements.make_reports, &parameters, keys.len()).await
}
