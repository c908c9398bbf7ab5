use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema;
use crate::LedgerError;

/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(5);
/// The same at the first opening, where nobody waits yet and a refusal would end the process.
const BUSY_AT_FIRST: Duration = Duration::from_secs(30);
/// Pause before a file is tried again that another process holds. SQLite's own pauses grow to a tenth of a second, and whoever
/// has waited longest looks least often: beside a busy writer it is never let in. The writer leaves gaps that this one meets.
const AGAIN: Duration = Duration::from_micros(500);

/// Pages kept in memory, in kibibytes. What is looked up by a hash needs pages all over the file.
const CACHE: i64 = 16 * 1_024;
/// Pages of the write-ahead log before it is copied into the file. A page that was written ten times is copied once.
const CHECKPOINT: i64 = 4_000;

/// Opens the file for the first time, and makes it where it is missing.
pub(super) fn open(path: &Path) -> Result<Connection, String> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| format!("its folder cannot be made: {error}"))?;
    }
    let there = path.try_exists().map_err(|error| format!("it cannot be looked at: {error}"))?;
    // SQLite makes it and nobody else ever opens it: a process that closes a file loses every lock it holds on it, also
    // those of its other connections.
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(unusable)?;
    if !there {
        // It will hold consumers' numbers, and is empty yet. SQLite gives the files beside it the mode of this one.
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(|error| format!("it cannot be kept private: {error}"))?;
    }
    wait_for_others(&mut connection, BUSY_AT_FIRST).map_err(unusable)?;
    durable(&connection, BUSY_AT_FIRST)?;
    schema::migrate(&connection)?;
    wait_for_others(&mut connection, BUSY).map_err(unusable)?;
    Ok(connection)
}

/// Whether a file is a ledger of this build's schema, or a later one that it knows. Nothing is made or changed.
pub(crate) fn look_at(path: &Path) -> Result<(), LedgerError> {
    let told = || path.display().to_string();
    let refused = |detail: String| LedgerError::Open { path: told(), detail };
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(LedgerError::NotThere { path: told() }),
        Err(error) => return Err(refused(format!("it cannot be looked at: {error}"))),
    }
    let connection = connect(path, OpenFlags::empty()).map_err(unusable).map_err(refused)?;
    match schema::found(&connection).map_err(refused)? {
        0 => Err(LedgerError::NotThere { path: told() }),
        found if found < schema::OURS => {
            let number = |schema: usize| u32::try_from(schema).unwrap_or(u32::MAX);
            Err(LedgerError::Older { path: told(), found: number(found), ours: number(schema::OURS) })
        }
        _ => Ok(()),
    }
}

/// Opens a file that was there before. One that has vanished is never replaced by an empty one: that would forget what was
/// sent, and send it again.
pub(super) fn reopen(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::empty()).map_err(unusable)?;
    durable(&connection, BUSY)?;
    Ok(connection)
}

/// Opens a file that was there before for reading; readers of a WAL wait for nobody.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::empty()).map_err(unusable)?;
    connection.pragma_update(None, "query_only", true).map_err(unusable)?;
    Ok(connection)
}

fn connect(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let mut connection = Connection::open_with_flags(path, flags)?;
    wait_for_others(&mut connection, BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Otherwise a statement with a range is prepared again whenever other values are bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// `longest` is for each statement that finds the file held.
fn wait_for_others(connection: &mut Connection, longest: Duration) -> rusqlite::Result<()> {
    let mut began = Instant::now();
    connection.busy_handler(Some(move |tries| {
        if tries == 0 {
            began = Instant::now();
        }
        std::thread::sleep(AGAIN);
        began.elapsed() < longest
    }))
}

/// Runs what can wait for another time, so that nobody waits behind it while another process holds the file.
pub(super) fn without_waiting<T>(
    connection: &mut Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.busy_timeout(Duration::ZERO)?;
    let done = job(connection);
    wait_for_others(connection, BUSY)?;
    done
}

fn unusable(error: rusqlite::Error) -> String {
    format!("it cannot be used as a ledger: {error}")
}

/// An answer is given only after an fsync: a record before an effect must outlive a power cut, or the effect would be
/// repeated.
fn durable(connection: &Connection, longest: Duration) -> Result<(), String> {
    let began = Instant::now();
    let mode = loop {
        let set = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match set {
            // The change to WAL does not wait for another process by itself, whatever the busy timeout.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && began.elapsed() < longest => {
                std::thread::sleep(AGAIN);
            }
            set => break set.map_err(unusable)?,
        }
    };
    // The savepoint of a job copies every page the job is the first to change; in a file that would be a write for each.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(unusable)?;
    connection.pragma_update(None, "cache_size", -CACHE).map_err(unusable)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT).map_err(unusable)?;
    if mode != "wal" {
        return Err(format!(
            "its file system does not allow a write-ahead log (journal mode {mode}); keep it on a local disk"
        ));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(unusable)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_commit_is_an_fsync_also_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        for connection in [open(&path).unwrap(), reopen(&path).unwrap()] {
            let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
            let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
            assert_eq!((synchronous, mode.as_str()), (2, "wal"));
        }
    }

    /// Without it, whoever closes the file last, as it seems, throws away the log that another ledger still writes.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_second_opening_takes_no_lock_from_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let _first = open(&path).unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        let held = || {
            let locks = std::fs::read_to_string("/proc/locks").unwrap();
            let of = format!(":{inode} ");
            locks.lines().filter(|line| line.contains("READ") && line.contains(&of)).count()
        };
        assert_eq!(held(), 1, "a ledger in use is locked against its removal");
        let second = open(&path).unwrap();
        assert_eq!(held(), 1, "one for the process");
        drop(second);
        assert_eq!(held(), 1);
    }

    #[test]
    fn a_ledger_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let _connection = open(&path).unwrap();
        for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn what_can_wait_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let (mut connection, other) = (open(&path).unwrap(), open(&path).unwrap());
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let began = Instant::now();
        let done = without_waiting(&mut connection, |connection| connection.execute("DELETE FROM sessions", []));
        assert_eq!(done.unwrap_err().sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        assert!(began.elapsed() < BUSY / 2, "it did not wait");
        let began = Instant::now();
        let done = connection.execute("DELETE FROM sessions", []);
        assert_eq!(done.unwrap_err().sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        assert!(began.elapsed() >= BUSY, "everything else waits again");
    }

    #[test]
    fn a_file_that_vanished_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        assert!(reopen(&path).is_err() && open_for_reading(&path).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let error = open(&path).unwrap_err();
        assert!(error.contains("something else"), "{error}");
    }
}
