use std::collections::HashMap;
use std::fs::{DirBuilder, File, TryLockError};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use model::{Family, MessageId, TraceId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::command::{Kept, Settle};
use crate::letters::id_of;
use crate::source::{Content, Delivery, Tag};
use crate::{DeadLetterReport, Envelope, Letter, OpenError, QueueName, Topology};

const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE queue (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE message (
  id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, message_id TEXT NOT NULL, kind TEXT NOT NULL,
  conversation TEXT NOT NULL, trace TEXT NOT NULL, received_at INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX message_of_queue ON message (queue);
CREATE TABLE dead (
  id INTEGER PRIMARY KEY, family TEXT NOT NULL, message_id TEXT NOT NULL, kind TEXT NOT NULL,
  conversation TEXT NOT NULL, trace TEXT NOT NULL, received_at INTEGER NOT NULL, body BLOB NOT NULL,
  reason TEXT NOT NULL, detail TEXT NOT NULL, at INTEGER NOT NULL, origin TEXT NOT NULL
) STRICT;
CREATE INDEX dead_of_family ON dead (family);
CREATE TABLE probe (body BLOB NOT NULL) STRICT;
";

/// A fetch stops at this many bytes, so that large messages cost bounded memory however many are allowed in hand.
const FETCH_BYTES: usize = 4 << 20;

/// The write-ahead log is copied back at this many pages: rarely enough that a message which is acked soon is
/// mostly written once, and often enough that the log stays at some tens of megabytes.
const CHECKPOINT_PAGES: i64 = 4000;

/// The file, its lock, and every statement that is run on it.
pub(super) struct Database {
    connection: Connection,
    _lock: File,
    next_id: i64,
}

/// What was found in the file.
pub(super) struct Found {
    /// Keys and lengths of the topology's queues, in its order.
    pub(super) queues: Vec<(i64, u64)>,
    /// Queues that are no longer configured and still hold something.
    pub(super) strangers: Vec<(String, u64)>,
    /// Dead letters, in the order of [`Family::ALL`].
    pub(super) dead: [u64; 3],
}

impl Database {
    pub(super) fn open(folder: &Path, topology: &Topology) -> Result<(Self, Found), OpenError> {
        let shown = folder.display().to_string();
        let store = |detail: String| OpenError::Store { path: shown.clone(), detail };
        let io = |error: std::io::Error| store(error.to_string());
        make_folder(folder).map_err(io)?;
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: shown }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let sql = |error: rusqlite::Error| store(explain(&error));
        let connection = connect(&folder.join("queues.db")).map_err(sql)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sql)?;
        match version {
            SCHEMA_VERSION => {}
            0 => create(&connection).map_err(sql)?,
            newer => {
                return Err(store(format!(
                    "was written by a newer version (schema {newer}, this build reads {SCHEMA_VERSION}); use that version"
                )));
            }
        }
        fix_partitions(&connection, topology).map_err(sql)?.map_err(OpenError::Config)?;
        let (next_id, found) = survey(&connection, topology).map_err(sql)?;
        Ok((Self { connection, _lock: lock, next_id }, found))
    }

    pub(super) fn begin(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// Ends a transaction that failed; some failures have ended it already.
    pub(super) fn rollback(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = explain(&error), "the embedded store could not roll back");
        }
    }

    pub(super) fn insert(&mut self, queue: i64, envelope: &Envelope) -> rusqlite::Result<()> {
        const INSERT: &str = "INSERT INTO message (id, queue, message_id, kind, conversation, trace, received_at, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let id = self.next_id;
        self.connection.prepare_cached(INSERT)?.execute(params![
            id,
            queue,
            envelope.id.as_str(),
            envelope.kind,
            envelope.conversation,
            envelope.trace.as_str(),
            nanoseconds(envelope.received_at),
            &envelope.body[..],
        ])?;
        // Ids are never given twice in the life of a process, whatever is rolled back: cursors rely on it.
        self.next_id += 1;
        Ok(())
    }

    pub(super) fn settle(&self, id: i64, family: Family, settle: &Settle) -> rusqlite::Result<()> {
        const MOVE: &str = "INSERT INTO dead
            SELECT NULL, ?2, message_id, kind, conversation, trace, received_at, body, ?3, ?4, ?5, ?6
            FROM message WHERE id = ?1";
        if let Settle::DeadLetter { reason, detail, at, origin } = settle {
            let at = nanoseconds(*at);
            self.connection.prepare_cached(MOVE)?.execute(params![id, family.word(), reason, detail, at, origin])?;
        }
        self.connection.prepare_cached("DELETE FROM message WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// The messages of a queue behind `after`, in order.
    pub(super) fn read(&self, queue: i64, after: i64, limit: usize) -> rusqlite::Result<Vec<Delivery>> {
        const READ: &str = "SELECT id, message_id, kind, conversation, trace, received_at, body
            FROM message WHERE queue = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let mut statement = self.connection.prepare_cached(READ)?;
        let mut rows = statement.query(params![queue, after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut found = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let (delivery, len) = delivery(row)?;
            found.push(delivery);
            bytes += len;
            if bytes >= FETCH_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// When the first message behind `after` was received.
    pub(super) fn oldest(&self, queue: i64, after: i64) -> rusqlite::Result<Option<Timestamp>> {
        const OLDEST: &str = "SELECT received_at FROM message WHERE queue = ?1 AND id > ?2 ORDER BY id LIMIT 1";
        let found = self.connection.prepare_cached(OLDEST)?.query_row([queue, after], |row| row.get(0)).optional()?;
        Ok(found.map(timestamp))
    }

    /// When the first dead letter of a family died.
    pub(super) fn oldest_dead(&self, family: Family) -> rusqlite::Result<Option<Timestamp>> {
        const OLDEST: &str = "SELECT at FROM dead WHERE family = ?1 ORDER BY id LIMIT 1";
        let found = self.connection.prepare_cached(OLDEST)?.query_row([family.word()], |row| row.get(0)).optional()?;
        Ok(found.map(timestamp))
    }

    /// Dead letters of a family behind a row, in order.
    pub(super) fn letters(&self, family: Family, after: i64, limit: usize) -> rusqlite::Result<Vec<Kept>> {
        const LIST: &str =
            "SELECT id, message_id, reason, detail, at, origin, kind, conversation, trace, received_at, body
            FROM dead WHERE family = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let mut statement = self.connection.prepare_cached(LIST)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![family.word(), after, limit])?;
        let mut found = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let kept = kept(row)?;
            bytes += kept.letter.body.len();
            found.push(kept);
            if bytes >= FETCH_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// Puts a dead letter at the end of a queue, where one is given, and removes it; whether it was there.
    pub(super) fn sift(&mut self, row: i64, queue: Option<i64>) -> rusqlite::Result<bool> {
        const REQUEUE: &str = "INSERT INTO message
            SELECT ?2, ?3, message_id, kind, conversation, trace, received_at, body FROM dead WHERE id = ?1";
        if let Some(queue) = queue {
            self.connection.prepare_cached(REQUEUE)?.execute([row, self.next_id, queue])?;
            self.next_id += 1;
        }
        Ok(self.connection.prepare_cached("DELETE FROM dead WHERE id = ?1")?.execute([row])? > 0)
    }

    /// Finds out whether the disk takes data again, with as much of it as a large message has.
    pub(super) fn probe(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("INSERT INTO probe VALUES (zeroblob(65536))")?;
        self.connection.execute_batch("DELETE FROM probe")
    }

    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        let set = format!("PRAGMA max_page_count = {pages}");
        self.connection.query_row(&set, [], |_| Ok(())).unwrap();
    }
}

/// Bodies are private, so the folder is its owner's alone; its entry in the parent must survive a power cut.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let parent = folder.canonicalize()?.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    File::open(parent)?.sync_all()
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.set_prepared_statement_cache_capacity(32);
    // Exclusive locking keeps the index of the write-ahead log in memory: no second process is ever let in.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))
}

/// The partition of a conversation depends on their number, so it may change only while nothing waits.
fn fix_partitions(connection: &Connection, topology: &Topology) -> rusqlite::Result<Result<(), String>> {
    let installed: Option<u16> =
        connection.query_row("SELECT value FROM setting WHERE name = 'partitions'", [], |row| row.get(0)).optional()?;
    let asked = topology.partitions;
    if let Some(installed) = installed.filter(|installed| *installed != asked) {
        let waiting: bool = connection.query_row("SELECT EXISTS (SELECT 1 FROM message)", [], |row| row.get(0))?;
        if waiting {
            return Ok(Err(format!(
                "broker.partitions is {asked}, but this store was installed with {installed} and still holds messages: \
                 set it back to {installed}, let the queues run empty, then change it"
            )));
        }
    }
    connection.execute("INSERT OR REPLACE INTO setting VALUES ('partitions', ?1)", [asked])?;
    Ok(Ok(()))
}

fn survey(connection: &Connection, topology: &Topology) -> rusqlite::Result<(i64, Found)> {
    let mut lengths: HashMap<i64, u64> = HashMap::new();
    let mut counted = connection.prepare("SELECT queue, count(*) FROM message GROUP BY queue")?;
    for row in counted.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))? {
        let (key, length) = row?;
        lengths.insert(key, length.unsigned_abs());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut queues = Vec::new();
    for queue in topology.work_queues() {
        connection.execute("INSERT OR IGNORE INTO queue (name) VALUES (?1)", [queue.to_string()])?;
        let key = connection.query_row("SELECT key FROM queue WHERE name = ?1", [queue.to_string()], |r| r.get(0))?;
        queues.push((key, lengths.remove(&key).unwrap_or(0)));
    }
    connection.execute_batch("COMMIT")?;
    let mut strangers = Vec::new();
    for (key, length) in lengths {
        let name = connection.query_row("SELECT name FROM queue WHERE key = ?1", [key], |row| row.get(0))?;
        strangers.push((name, length));
    }
    strangers.sort();
    let mut dead = [0; 3];
    for (family, count) in Family::ALL.iter().zip(&mut dead) {
        let found: i64 =
            connection.query_row("SELECT count(*) FROM dead WHERE family = ?1", [family.word()], |row| row.get(0))?;
        *count = found.unsigned_abs();
    }
    let last: i64 = connection.query_row("SELECT coalesce(max(id), 0) FROM message", [], |row| row.get(0))?;
    Ok((last + 1, Found { queues, strangers, dead }))
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<(Delivery, usize)> {
    let id: i64 = row.get(0)?;
    let body: Vec<u8> = row.get(6)?;
    let len = body.len();
    let envelope = Envelope {
        id: MessageId::new(row.get::<_, String>(1)?),
        kind: row.get(2)?,
        conversation: row.get(3)?,
        trace: TraceId::new(row.get::<_, String>(4)?),
        received_at: timestamp(row.get(5)?),
        body: Bytes::from(body),
    };
    Ok((Delivery { tag: Tag(id.unsigned_abs()), content: Content::Envelope(envelope) }, len))
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let body: Vec<u8> = row.get(10)?;
    let report = DeadLetterReport {
        id: id_of(row.get(1)?, &body),
        reason: row.get(2)?,
        detail: row.get(3)?,
        at: timestamp(row.get(4)?),
        from: row.get(5)?,
    };
    let letter = Letter {
        report,
        kind: row.get(6)?,
        conversation: row.get(7)?,
        trace: row.get(8)?,
        received_at: Some(timestamp(row.get(9)?)),
        body: Bytes::from(body),
    };
    Ok(Kept { row: row.get(0)?, letter })
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What SQLite says, and what to do about it.
pub(super) fn explain(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode;
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full: make room on it",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "the file is damaged or not a store: move it away, or put back a copy of it"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk failed: look at the kernel's log",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "the files must be writable by this user"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another program has the file open: close it",
        _ => return error.to_string(),
    };
    format!("{error} ({advice})")
}

/// The family of a queue.
pub(super) const fn family_of(queue: &QueueName) -> Family {
    match queue {
        QueueName::Work { family, .. } | QueueName::Dead(family) => *family,
    }
}
