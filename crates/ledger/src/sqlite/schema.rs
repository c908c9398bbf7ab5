use rusqlite::Connection;

/// One step to the next schema. Each release works with the schema before and after its own, so a step only adds.
const STEPS: [&str; 8] = [
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
    // What is written for every message stands in the order of its coming, so that a commit touches few pages: of effects,
    // lines and arrivals only what must be looked up by a hash is kept in an order of its own. No release wrote the schemas
    // before this one, so this step may change what stands there.
    "
ALTER TABLE effects RENAME TO old_effects;
ALTER TABLE timeline RENAME TO old_timeline;
ALTER TABLE arrivals RENAME TO old_arrivals;
CREATE TABLE effects (
    row         INTEGER PRIMARY KEY,
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
    parties     TEXT,
    erased_at   INTEGER
);
CREATE TABLE timeline (
    seq    INTEGER PRIMARY KEY,
    effect INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    what   TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TABLE arrivals (
    row         INTEGER PRIMARY KEY,
    channel     TEXT NOT NULL,
    id          TEXT NOT NULL,
    path        TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    sent_at     INTEGER,
    same_as     TEXT,
    arrived_at  INTEGER NOT NULL
);
INSERT INTO effects SELECT NULL, family, id, channel, target, consumer, foreign_id, trace, received_at, attempt, owner,
    began_at, deadline, begun, outcome, touched_at, parties, erased_at FROM old_effects ORDER BY touched_at;
CREATE UNIQUE INDEX effects_by_id ON effects (id, family);
INSERT INTO timeline SELECT seq, effects.row, at, what, detail FROM old_timeline JOIN effects ON effects.row =
    (SELECT row FROM effects WHERE id = old_timeline.id ORDER BY family = old_timeline.family DESC LIMIT 1) ORDER BY seq;
INSERT INTO arrivals SELECT NULL, channel, id, path, fingerprint, sent_at, same_as, arrived_at
    FROM old_arrivals ORDER BY arrived_at;
DROP TABLE old_effects;
DROP TABLE old_timeline;
DROP TABLE old_arrivals;
CREATE INDEX effects_by_foreign_id ON effects (foreign_id) WHERE foreign_id <> id;
CREATE INDEX effects_by_trace ON effects (trace);
CREATE INDEX effects_by_consumer ON effects (consumer);
CREATE INDEX effects_by_age ON effects (touched_at) WHERE attempt IS NULL;
CREATE INDEX timeline_by_effect ON timeline (effect);
CREATE UNIQUE INDEX arrivals_by_id ON arrivals (id, channel);
CREATE INDEX arrivals_by_fingerprint ON arrivals (fingerprint, sent_at);
",
    "
CREATE TABLE interactions (
    channel    TEXT NOT NULL,
    consumer   TEXT NOT NULL,
    value      TEXT NOT NULL,
    state      TEXT NOT NULL,
    version    INTEGER NOT NULL,
    touched_at INTEGER NOT NULL,
    PRIMARY KEY (channel, consumer)
) WITHOUT ROWID;
CREATE INDEX interactions_by_age ON interactions (touched_at);
",
    "
ALTER TABLE consents ADD COLUMN heard_at INTEGER;
ALTER TABLE consents ADD COLUMN said_at INTEGER;
",
    // The attempt whose lines the row tells itself, and when that one ended.
    "
ALTER TABLE effects ADD COLUMN walk TEXT;
ALTER TABLE effects ADD COLUMN ended_at INTEGER;
",
];

/// The schema this build writes.
pub(super) const OURS: usize = STEPS.len();

/// Brings a ledger up to date; one of the next release is used as it is.
pub(super) fn migrate(connection: &Connection) -> Result<(), String> {
    let told = |error: rusqlite::Error| error.to_string();
    connection.execute_batch("BEGIN IMMEDIATE").map_err(told)?;
    let migrated = steps(connection);
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute_batch(end).map_err(told)?;
    migrated
}

/// The schema that is there; 0 where there is none. One that this build does not know is refused.
pub(super) fn found(connection: &Connection) -> Result<usize, String> {
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
    Ok(found)
}

fn steps(connection: &Connection) -> Result<(), String> {
    let told = |error: rusqlite::Error| error.to_string();
    let found = found(connection)?;
    for (step, number) in STEPS.iter().zip(1..).skip(found) {
        connection.execute_batch(step).map_err(told)?;
        connection.pragma_update(None, "user_version", number).map_err(told)?;
    }
    Ok(())
}

fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a build before the first release wrote is found again, line by line.
    #[test]
    fn a_ledger_of_schema_4_is_carried_over() {
        let connection = Connection::open_in_memory().unwrap();
        STEPS[..4].iter().for_each(|step| connection.execute_batch(step).unwrap());
        connection.pragma_update(None, "user_version", 4).unwrap();
        connection
            .execute_batch(
                "INSERT INTO effects (family, id, channel, target, consumer, foreign_id, trace, received_at, touched_at, outcome)
                    VALUES ('replies', 're-1', 'sales', 'crexendo', 'one', 'g-1', 't-1', 1, 5, 'sent'),
                           ('inbound', 'in-1', 'sales', 'main', 'one', 'in-1', 't-2', 2, 3, NULL);
                INSERT INTO timeline (at, id, family, channel, foreign_id, trace, what, detail)
                    VALUES (1, 're-1', 'replies', 'sales', 'g-1', 't-1', 'received', ''),
                           (2, 'in-1', 'inbound', 'sales', 'in-1', 't-2', 'received', ''),
                           (4, 're-1', 'receipts', 'sales', 'g-1', 't-1', 'receipt', 'Delivered');
                INSERT INTO arrivals VALUES ('sales', 'in-1', 'stored-row', 'print', 7, NULL, 2);",
            )
            .unwrap();
        migrate(&connection).unwrap();
        let select = "SELECT e.id || ' ' || line.what || ' ' || line.at FROM timeline AS line
            JOIN effects AS e ON e.row = line.effect ORDER BY line.seq";
        let lines: Vec<String> =
            connection.prepare(select).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(lines, ["re-1 received 1", "in-1 received 2", "re-1 receipt 4"]);
        let count = |what: &str| -> i64 {
            connection.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count("effects WHERE id = 're-1' AND outcome = 'sent' AND touched_at = 5"), 1);
        assert_eq!(count("arrivals WHERE id = 'in-1' AND fingerprint = 'print' AND sent_at = 7"), 1);
        assert_eq!(count("sqlite_master WHERE name LIKE 'old_%'"), 0);
    }
}
