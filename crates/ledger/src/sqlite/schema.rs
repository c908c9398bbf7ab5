use rusqlite::Connection;

/// One step to the next schema. Each release works with the schema before and after its own, so a step only adds.
const STEPS: [&str; 4] = [
    "
CREATE TABLE effects (
    family      TEXT NOT NULL,
    id          TEXT NOT NULL,
    channel     TEXT NOT NULL,
    target      TEXT NOT NULL,
    consumer    TEXT NOT NULL,
    foreign_id  TEXT NOT NULL,
    trace       TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    attempt     TEXT,
    owner       TEXT,
    began_at    INTEGER,
    deadline    INTEGER,
    begun       INTEGER NOT NULL DEFAULT 0,
    outcome     TEXT,
    touched_at  INTEGER NOT NULL,
    PRIMARY KEY (family, id)
) WITHOUT ROWID;
CREATE INDEX effects_by_foreign_id ON effects (foreign_id);
CREATE INDEX effects_by_trace ON effects (trace);
CREATE INDEX effects_by_consumer ON effects (consumer);
CREATE INDEX effects_by_age ON effects (touched_at);
CREATE TABLE timeline (
    seq    INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    id     TEXT NOT NULL,
    family TEXT NOT NULL,
    channel TEXT NOT NULL,
    foreign_id TEXT NOT NULL,
    trace  TEXT NOT NULL,
    what   TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX timeline_by_id ON timeline (id);
CREATE TABLE receipts (
    channel    TEXT NOT NULL,
    foreign_id TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    state      TEXT NOT NULL,
    emitted    INTEGER NOT NULL,
    touched_at INTEGER NOT NULL,
    PRIMARY KEY (channel, foreign_id, recipient)
) WITHOUT ROWID;
CREATE INDEX receipts_by_age ON receipts (touched_at);
CREATE TABLE arrivals (
    channel     TEXT NOT NULL,
    id          TEXT NOT NULL,
    path        TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    sent_at     INTEGER,
    same_as     TEXT,
    arrived_at  INTEGER NOT NULL,
    PRIMARY KEY (channel, id)
) WITHOUT ROWID;
CREATE INDEX arrivals_by_fingerprint ON arrivals (channel, fingerprint, sent_at);
CREATE INDEX arrivals_by_age ON arrivals (arrived_at);
CREATE TABLE sessions (
    channel  TEXT NOT NULL,
    consumer TEXT NOT NULL,
    session  TEXT NOT NULL,
    used_at  INTEGER NOT NULL,
    PRIMARY KEY (channel, consumer)
) WITHOUT ROWID;
CREATE INDEX sessions_by_age ON sessions (used_at);
",
    "
ALTER TABLE effects ADD COLUMN parties TEXT;
ALTER TABLE effects ADD COLUMN erased_at INTEGER;
ALTER TABLE receipts ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
ALTER TABLE receipts ADD COLUMN owner TEXT;
CREATE TABLE sent (
    provider   TEXT NOT NULL,
    foreign_id TEXT NOT NULL,
    id         TEXT NOT NULL,
    made_at    INTEGER NOT NULL,
    PRIMARY KEY (provider, foreign_id)
) WITHOUT ROWID;
CREATE INDEX sent_by_id ON sent (id);
CREATE INDEX sent_by_age ON sent (made_at);
CREATE TABLE reports (
    provider    TEXT NOT NULL,
    foreign_id  TEXT NOT NULL,
    state       TEXT NOT NULL,
    status      TEXT NOT NULL,
    reported_at INTEGER NOT NULL,
    PRIMARY KEY (provider, foreign_id, state)
) WITHOUT ROWID;
CREATE INDEX reports_by_age ON reports (reported_at);
",
    "
CREATE TABLE marks (
    name        TEXT NOT NULL PRIMARY KEY,
    value       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    lease_owner TEXT,
    lease_until INTEGER
) WITHOUT ROWID;
",
    // No row of it is ever forgotten.
    "
CREATE TABLE consents (
    channel    TEXT NOT NULL,
    consumer   TEXT NOT NULL,
    state      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (channel, consumer)
) WITHOUT ROWID;
",
];

/// The schema this build writes.
const OURS: usize = STEPS.len();

/// Brings a ledger up to date; one of the next release is used as it is.
pub(super) fn migrate(connection: &Connection) -> Result<(), String> {
    let told = |error: rusqlite::Error| error.to_string();
    connection.execute_batch("BEGIN IMMEDIATE").map_err(told)?;
    let migrated = steps(connection);
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute_batch(end).map_err(told)?;
    migrated
}

fn steps(connection: &Connection) -> Result<(), String> {
    let told = |error: rusqlite::Error| error.to_string();
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(told)?;
    let found = usize::try_from(found).map_err(|_| "this is no ledger of ours".to_owned())?;
    if found > OURS + 1 {
        return Err(format!(
            "the ledger has schema {found}, this build knows schema {OURS} and the one after it; use a newer build"
        ));
    }
    if found == 0 && tables(connection).map_err(told)? > 0 {
        return Err("it is a SQLite file of something else; give the ledger a file of its own".to_owned());
    }
    for (step, number) in STEPS.iter().zip(1..).skip(found) {
        connection.execute_batch(step).map_err(told)?;
        connection.pragma_update(None, "user_version", number).map_err(told)?;
    }
    Ok(())
}

fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
}
