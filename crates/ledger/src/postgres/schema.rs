use tokio_postgres::{Client, Error};

use super::fault;

/// One step to the next schema. Each release works with the schema before and after its own, so a step only adds.
///
/// A foreign id has no length that could be relied on, and a B-tree refuses what is long: such columns have hash indexes, which
/// take anything, or a digest as their key. What is touched after it was made has no index on the time of that touch, so that
/// the end of an effect changes its row in place and no index.
const STEPS: [&str; 7] = [
    r#"
CREATE TABLE causeway.effects (
    family      TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    channel     TEXT COLLATE "C" NOT NULL,
    target      TEXT COLLATE "C" NOT NULL,
    consumer    TEXT COLLATE "C" NOT NULL,
    foreign_id  TEXT COLLATE "C" NOT NULL,
    trace       TEXT COLLATE "C" NOT NULL,
    received_at BIGINT NOT NULL,
    attempt     TEXT COLLATE "C",
    owner       TEXT COLLATE "C",
    began_at    BIGINT,
    deadline    BIGINT,
    begun       INTEGER NOT NULL,
    outcome     TEXT COLLATE "C",
    told        BOOLEAN NOT NULL,
    made_at     BIGINT NOT NULL,
    touched_at  BIGINT NOT NULL,
    PRIMARY KEY (family, id)
) WITH (fillfactor = 70);
CREATE INDEX effects_by_foreign_id ON causeway.effects USING hash (foreign_id);
CREATE INDEX effects_by_trace ON causeway.effects USING hash (trace);
CREATE INDEX effects_by_consumer ON causeway.effects USING hash (consumer);
CREATE INDEX effects_by_age ON causeway.effects (made_at);
CREATE TABLE causeway.timeline (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         BIGINT NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    family     TEXT COLLATE "C" NOT NULL,
    channel    TEXT COLLATE "C" NOT NULL,
    foreign_id TEXT COLLATE "C" NOT NULL,
    trace      TEXT COLLATE "C" NOT NULL,
    what       TEXT COLLATE "C" NOT NULL,
    detail     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX timeline_by_id ON causeway.timeline USING hash (id);
CREATE TABLE causeway.receipts (
    key        BYTEA PRIMARY KEY,
    channel    TEXT COLLATE "C" NOT NULL,
    foreign_id TEXT COLLATE "C" NOT NULL,
    recipient  TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    emitted    BOOLEAN NOT NULL,
    made_at    BIGINT NOT NULL,
    touched_at BIGINT NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX receipts_by_age ON causeway.receipts (made_at);
CREATE TABLE causeway.arrivals (
    channel     TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    path        TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    sent_at     BIGINT,
    same_as     TEXT COLLATE "C",
    arrived_at  BIGINT NOT NULL,
    PRIMARY KEY (channel, id)
);
CREATE INDEX arrivals_by_fingerprint ON causeway.arrivals (channel, fingerprint, sent_at);
CREATE INDEX arrivals_by_age ON causeway.arrivals (arrived_at);
CREATE TABLE causeway.sessions (
    key      BYTEA PRIMARY KEY,
    channel  TEXT COLLATE "C" NOT NULL,
    consumer TEXT COLLATE "C" NOT NULL,
    session  TEXT COLLATE "C" NOT NULL,
    used_at  BIGINT NOT NULL
);
CREATE INDEX sessions_by_age ON causeway.sessions (used_at);
"#,
    r#"
ALTER TABLE causeway.effects ADD COLUMN parties TEXT COLLATE "C";
ALTER TABLE causeway.effects ADD COLUMN erased_at BIGINT;
ALTER TABLE causeway.receipts ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
ALTER TABLE causeway.receipts ADD COLUMN owner TEXT COLLATE "C";
CREATE TABLE causeway.sent (
    key        BYTEA PRIMARY KEY,
    provider   TEXT COLLATE "C" NOT NULL,
    foreign_id TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    made_at    BIGINT NOT NULL
);
CREATE INDEX sent_by_id ON causeway.sent USING hash (id);
CREATE INDEX sent_by_age ON causeway.sent (made_at);
CREATE TABLE causeway.reports (
    key         BYTEA NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    provider    TEXT COLLATE "C" NOT NULL,
    status      TEXT COLLATE "C" NOT NULL,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (key, state)
);
CREATE INDEX reports_by_age ON causeway.reports (reported_at);
"#,
    r#"
CREATE TABLE causeway.marks (
    name        TEXT COLLATE "C" PRIMARY KEY,
    value       TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    lease_owner TEXT COLLATE "C",
    lease_until BIGINT
) WITH (fillfactor = 70);
"#,
    // No row of it is ever forgotten.
    r#"
CREATE TABLE causeway.consents (
    key        BYTEA PRIMARY KEY,
    channel    TEXT COLLATE "C" NOT NULL,
    consumer   TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    changed_by TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL
);
"#,
    r#"
CREATE TABLE causeway.interactions (
    key        BYTEA PRIMARY KEY,
    channel    TEXT COLLATE "C" NOT NULL,
    consumer   TEXT COLLATE "C" NOT NULL,
    value      TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    touched_at BIGINT NOT NULL
);
CREATE INDEX interactions_by_age ON causeway.interactions (touched_at);
CREATE INDEX interactions_by_consumer ON causeway.interactions USING hash (consumer);
"#,
    r#"
ALTER TABLE causeway.consents ADD COLUMN heard_at BIGINT;
ALTER TABLE causeway.consents ADD COLUMN said_at BIGINT;
"#,
    // The attempt whose lines the row tells itself, and when that one ended.
    r#"
ALTER TABLE causeway.effects ADD COLUMN walk TEXT COLLATE "C";
ALTER TABLE causeway.effects ADD COLUMN ended_at BIGINT;
"#,
];

/// The schema this build writes.
pub(super) const OURS: u32 = STEPS.len() as u32;
/// What processes that migrate at once wait for; a number of ours, like a port.
const MIGRATING: i64 = 0x0063_6175_7365_7761;
/// How long one waits for another that migrates.
const PATIENCE: &str = "30s";

/// Why a database is not used.
pub(super) enum Refusal {
    /// As long as nobody changes something, it never will be.
    Unfit(String),
    /// Nothing is known about it now, for this reason.
    Unknown(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match fault::unfit(&error) {
            Some(why) => Self::Unfit(why),
            None => Self::Unknown(fault::words_of(&error)),
        }
    }
}

/// Brings a ledger up to date, and gives its schema; one of the next release is used as it is. What is up to date already
/// needs no lock and no rights to change it.
pub(super) async fn migrate(client: &Client) -> Result<u32, Refusal> {
    let found = look(client).await?;
    if found >= OURS {
        return Ok(found);
    }
    client.batch_execute(&format!("BEGIN; SET LOCAL lock_timeout = '{PATIENCE}'")).await?;
    let locked = client.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING]).await;
    if let Err(error) = locked {
        client.batch_execute("ROLLBACK").await?;
        let told = "another process has been migrating it for 30 s; look at what it is doing, then start again";
        return Err(if fault::is_lock_timeout(&error) { Refusal::Unfit(told.to_owned()) } else { error.into() });
    }
    let migrated = steps(client).await;
    client.batch_execute(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    migrated
}

async fn steps(client: &Client) -> Result<u32, Refusal> {
    // Another process may have done it while this one waited.
    let found = look(client).await?;
    if found == 0 {
        let there = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'causeway')";
        if !client.query_one(there, &[]).await?.get::<_, bool>(0) {
            client.batch_execute("CREATE SCHEMA causeway").await?;
        }
        client.batch_execute("CREATE TABLE causeway.schema_version (version INTEGER NOT NULL)").await?;
        client.batch_execute("INSERT INTO causeway.schema_version VALUES (0)").await?;
    }
    for (step, number) in STEPS.iter().zip(1i32..).skip(found as usize) {
        client.batch_execute(step).await?;
        client.execute("UPDATE causeway.schema_version SET version = $1", &[&number]).await?;
    }
    Ok(found.max(OURS))
}

/// The schema that is there; 0 where there is none.
pub(super) async fn look(client: &Client) -> Result<u32, Refusal> {
    // A lookup by name would answer from a cache, which does not know what was committed while this one waited for the lock.
    let there =
        "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'causeway' AND tablename = 'schema_version')";
    let there = client.query_one(there, &[]).await?;
    if !there.get::<_, bool>(0) {
        return Ok(0);
    }
    let version = client.query_opt("SELECT version FROM causeway.schema_version", &[]).await?;
    let found = version.map_or(0, |row| row.get::<_, i32>(0));
    let Ok(found) = u32::try_from(found) else {
        return Err(Refusal::Unfit("its version row is none of ours".to_owned()));
    };
    if found > OURS + 1 {
        return Err(Refusal::Unfit(format!(
            "the ledger has schema {found}, this build knows schema {OURS} and the one after it; use a newer build"
        )));
    }
    Ok(found)
}
