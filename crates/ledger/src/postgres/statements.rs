use futures_util::future::try_join_all;
use tokio_postgres::{Client, Error, Statement};

/// The database's own time in milliseconds, read after the locks are held: a deadline must not be eaten up by the wait.
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8";
/// Twins come by different ids, so that no row of theirs could be locked before both are there.
const LOCK_ARRIVALS: &str = "SELECT pg_advisory_xact_lock($1, bucket) FROM unnest($2::int4[]) AS bucket";
const LOAD_EFFECTS: &str =
    "SELECT e.family, e.id, e.attempt, e.owner, e.began_at, e.deadline, e.begun, e.outcome, e.told,
        e.erased_at IS NOT NULL, e.walk, e.ended_at
    FROM causeway.effects AS e JOIN unnest($1::text[], $2::text[]) AS wanted (family, id)
    ON e.family = wanted.family AND e.id = wanted.id ORDER BY e.family, e.id FOR NO KEY UPDATE OF e";
const LOAD_RECEIPTS: &str = "SELECT r.key, r.state, r.emitted, r.begun, r.owner FROM causeway.receipts AS r
    JOIN unnest($1::bytea[]) AS wanted (key) ON r.key = wanted.key ORDER BY r.key FOR NO KEY UPDATE OF r";
const LOAD_ARRIVED: &str = "SELECT a.channel, a.id, a.same_as FROM causeway.arrivals AS a
    JOIN unnest($1::text[], $2::text[]) AS wanted (channel, id) ON a.channel = wanted.channel AND a.id = wanted.id";
const LOAD_TWINS: &str = "SELECT a.channel, a.id, a.path, a.fingerprint, a.sent_at, a.same_as FROM causeway.arrivals AS a
    JOIN unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) AS wanted (channel, fingerprint, low, high)
    ON a.channel = wanted.channel AND a.fingerprint = wanted.fingerprint AND a.sent_at BETWEEN wanted.low AND wanted.high";
const LOAD_SESSIONS: &str = "SELECT s.key, s.session, s.used_at FROM causeway.sessions AS s
    JOIN unnest($1::bytea[]) AS wanted (key) ON s.key = wanted.key";
const LOAD_MARKS: &str = "SELECT m.name, m.value, m.version, m.lease_owner, m.lease_until FROM causeway.marks AS m
    JOIN unnest($1::text[]) AS wanted (name) ON m.name = wanted.name ORDER BY m.name FOR NO KEY UPDATE OF m";
const LOAD_CONSENTS: &str =
    "SELECT c.channel, c.consumer, c.state, c.reason, c.changed_by, c.changed_at, c.heard_at, c.said_at, c.key
    FROM causeway.consents AS c JOIN unnest($1::bytea[]) AS wanted (key) ON c.key = wanted.key";
const CONSENTS_AFTER: &str = "SELECT channel, consumer, state, reason, changed_by, changed_at, heard_at, said_at
    FROM causeway.consents
    WHERE (channel, consumer) > ($1, $2) ORDER BY channel, consumer LIMIT $3";
const MAKE_EFFECTS: &str = "INSERT INTO causeway.effects (family, id, channel, target, consumer, foreign_id, trace, received_at,
        attempt, owner, began_at, deadline, begun, outcome, told, parties, walk, ended_at, made_at, touched_at)
    SELECT *, $19::int8, $19::int8 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::int8[], $9::text[], $10::text[], $11::int8[], $12::int8[], $13::int4[], $14::text[], $15::bool[],
        $16::text[], $17::text[], $18::int8[])";
const CHANGE_EFFECTS: &str = "UPDATE causeway.effects AS e SET attempt = n.attempt, owner = n.owner, began_at = n.began_at,
        deadline = n.deadline, begun = n.begun, outcome = n.outcome, told = n.told, walk = n.walk,
        ended_at = n.ended_at, touched_at = $12
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int4[], $8::text[], $9::bool[],
        $10::text[], $11::int8[]) AS n (family, id, attempt, owner, began_at, deadline, begun, outcome, told, walk, ended_at)
    WHERE e.family = n.family AND e.id = n.id";
const MAKE_RECEIPTS: &str =
    "INSERT INTO causeway.receipts (key, channel, foreign_id, recipient, state, emitted, begun, owner, made_at, touched_at)
    SELECT *, $9::int8, $9::int8
    FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::int4[], $8::text[])";
const CHANGE_RECEIPTS: &str = "UPDATE causeway.receipts AS r SET state = n.state, emitted = n.emitted, begun = n.begun,
        owner = n.owner, touched_at = $6
    FROM unnest($1::bytea[], $2::text[], $3::bool[], $4::int4[], $5::text[]) AS n (key, state, emitted, begun, owner) WHERE r.key = n.key";
const MAKE_ARRIVALS: &str =
    "INSERT INTO causeway.arrivals (channel, id, path, fingerprint, sent_at, same_as, arrived_at)
    SELECT *, $7::int8 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::text[])";
const KEEP_SESSIONS: &str = "INSERT INTO causeway.sessions (key, channel, consumer, session, used_at)
    SELECT *, $5::int8 FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[])
    ON CONFLICT (key) DO UPDATE SET session = excluded.session, used_at = excluded.used_at";
const MAKE_MARKS: &str = "INSERT INTO causeway.marks (name, value, version, lease_owner, lease_until)
    SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::int8[])";
const CHANGE_MARKS: &str = "UPDATE causeway.marks AS m SET value = n.value, version = n.version,
        lease_owner = n.lease_owner, lease_until = n.lease_until
    FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::int8[])
        AS n (name, value, version, lease_owner, lease_until) WHERE m.name = n.name";
const KEEP_CONSENTS: &str =
    "INSERT INTO causeway.consents (key, channel, consumer, state, reason, changed_by, changed_at, heard_at, said_at)
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::int8[],
        $9::int8[])
    ON CONFLICT (key) DO UPDATE SET state = excluded.state, reason = excluded.reason, changed_by = excluded.changed_by,
        changed_at = excluded.changed_at, heard_at = excluded.heard_at, said_at = excluded.said_at";
const MAKE_LINES: &str = "INSERT INTO causeway.timeline (at, id, family, channel, foreign_id, trace, what, detail)
    SELECT * FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])";
const LOAD_SENT: &str =
    "SELECT s.key, e.id, e.channel, e.foreign_id, e.trace, e.received_at, e.parties FROM causeway.sent AS s
    JOIN unnest($1::bytea[]) AS wanted (key) ON s.key = wanted.key
    JOIN causeway.effects AS e ON e.family = 'replies' AND e.id = s.id";
const LOAD_REPORTS: &str = "SELECT r.key, r.state, r.status, r.reported_at FROM causeway.reports AS r
    JOIN unnest($1::bytea[]) AS wanted (key) ON r.key = wanted.key";
const MAKE_SENT: &str = "INSERT INTO causeway.sent (key, provider, foreign_id, id, made_at)
    SELECT *, $5::int8 FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[])
    ON CONFLICT (key) DO UPDATE SET id = excluded.id, made_at = excluded.made_at";
const MAKE_REPORTS: &str = "INSERT INTO causeway.reports (key, state, provider, status, reported_at)
    SELECT *, $5::int8 FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[])";
const ABOUT: &str = "WITH theirs AS MATERIALIZED (SELECT * FROM causeway.effects WHERE foreign_id = $1)
    SELECT '\\x'::bytea, id, channel, foreign_id, trace, received_at, parties FROM theirs
    WHERE family = 'replies' AND channel = $2 ORDER BY id";
const RECEIPT_STATE: &str = "SELECT state, emitted FROM causeway.receipts WHERE key = $1";
/// The ids that name a message, a trace or a consumer.
macro_rules! named {
    () => {
        "WITH ids AS MATERIALIZED (
        SELECT $1::text AS id UNION SELECT id FROM causeway.effects WHERE foreign_id = $1
        UNION SELECT id FROM causeway.effects WHERE trace = $1 UNION SELECT id FROM causeway.effects WHERE consumer = $1
        UNION SELECT id FROM causeway.effects WHERE consumer = $2 UNION SELECT id FROM causeway.effects WHERE consumer = $3
    )"
    };
}
/// What the row of an effect tells of itself, as `looks::own` reads it.
macro_rules! own {
    () => {
        "SELECT e.received_at, e.id, e.family, e.channel, e.foreign_id, e.trace, coalesce(e.began_at, e.received_at), e.walk, e.ended_at, e.outcome
    FROM causeway.effects AS e "
    };
}
/// The lines are gathered before they are put in order, or the newest of all timelines would be walked through for them.
const TIMELINE: &str = concat!(
    named!(),
    ", lines AS MATERIALIZED (SELECT t.* FROM ids JOIN causeway.timeline AS t ON t.id = ids.id)
    SELECT at, id, family, channel, foreign_id, trace, what, detail FROM lines ORDER BY seq DESC LIMIT $4"
);
const OWN_TIMELINE: &str = concat!(
    named!(),
    own!(),
    "JOIN ids ON e.id = ids.id WHERE e.family IN ('inbound', 'replies', 'receipts') AND e.walk IS NOT NULL
    ORDER BY e.made_at DESC LIMIT $4"
);
pub(super) const OWN_OF_CONSUMER: &str =
    concat!(own!(), "WHERE e.consumer = $1 AND e.walk IS NOT NULL ORDER BY e.made_at DESC LIMIT $2");
const RECENT: &str = "SELECT at, id, family, channel, foreign_id, trace, what, detail FROM causeway.timeline
    ORDER BY seq DESC LIMIT $1";
/// Of what began last: who takes longer than a call does has lines beside.
const OWN_RECENT: &str = concat!(
    own!(),
    "JOIN (SELECT family, id FROM causeway.effects ORDER BY made_at DESC LIMIT $1) AS last
    ON e.family = last.family AND e.id = last.id WHERE e.walk IS NOT NULL"
);
/// One conversation first: of its rows there are few, of those of a family there are many.
const CLAIMED: &str = "WITH theirs AS MATERIALIZED (SELECT * FROM causeway.effects WHERE consumer = $3)
    SELECT outcome FROM theirs WHERE family = $1 AND channel = $2 AND touched_at >= $4 AND outcome LIKE $5
    ORDER BY touched_at DESC LIMIT $6";

const IS_KNOWN: &str = "SELECT EXISTS (SELECT 1 FROM causeway.effects WHERE family = $1 AND id = $2)";
const CROWD: &str = "WITH theirs AS MATERIALIZED (SELECT * FROM causeway.effects WHERE consumer = $3)
    SELECT count(*) FROM (SELECT 1 FROM theirs WHERE family = $1 AND channel = $2 AND received_at > $4 AND received_at <= $5
    LIMIT $6) AS newer";

/// Everything that is said to the database more than once, prepared.
pub(super) struct Statements {
    pub(super) now: Statement,
    pub(super) lock_arrivals: Statement,
    pub(super) load_effects: Statement,
    pub(super) load_receipts: Statement,
    pub(super) load_arrived: Statement,
    pub(super) load_twins: Statement,
    pub(super) load_sessions: Statement,
    pub(super) load_marks: Statement,
    pub(super) load_consents: Statement,
    pub(super) consents_after: Statement,
    pub(super) make_effects: Statement,
    pub(super) change_effects: Statement,
    pub(super) make_receipts: Statement,
    pub(super) change_receipts: Statement,
    pub(super) make_arrivals: Statement,
    pub(super) keep_sessions: Statement,
    pub(super) make_marks: Statement,
    pub(super) change_marks: Statement,
    pub(super) keep_consents: Statement,
    pub(super) make_lines: Statement,
    pub(super) timeline: Statement,
    pub(super) own_timeline: Statement,
    pub(super) recent: Statement,
    pub(super) own_recent: Statement,
    pub(super) claimed: Statement,
    pub(super) load_sent: Statement,
    pub(super) load_reports: Statement,
    pub(super) make_sent: Statement,
    pub(super) make_reports: Statement,
    pub(super) about: Statement,
    pub(super) receipt_state: Statement,
    pub(super) is_known: Statement,
    pub(super) crowd: Statement,
}

/// In the order of the fields they become.
const ALL: [&str; 33] = [
    NOW,
    LOCK_ARRIVALS,
    LOAD_EFFECTS,
    LOAD_RECEIPTS,
    LOAD_ARRIVED,
    LOAD_TWINS,
    LOAD_SESSIONS,
    LOAD_MARKS,
    LOAD_CONSENTS,
    CONSENTS_AFTER,
    MAKE_EFFECTS,
    CHANGE_EFFECTS,
    MAKE_RECEIPTS,
    CHANGE_RECEIPTS,
    MAKE_ARRIVALS,
    KEEP_SESSIONS,
    MAKE_MARKS,
    CHANGE_MARKS,
    KEEP_CONSENTS,
    MAKE_LINES,
    TIMELINE,
    OWN_TIMELINE,
    RECENT,
    OWN_RECENT,
    CLAIMED,
    LOAD_SENT,
    LOAD_REPORTS,
    MAKE_SENT,
    MAKE_REPORTS,
    ABOUT,
    RECEIPT_STATE,
    IS_KNOWN,
    CROWD,
];

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        let mut prepared = try_join_all(ALL.map(|sql| client.prepare(sql))).await?.into_iter();
        let mut next = || prepared.next().expect("one for each statement");
        Ok(Self {
            now: next(),
            lock_arrivals: next(),
            load_effects: next(),
            load_receipts: next(),
            load_arrived: next(),
            load_twins: next(),
            load_sessions: next(),
            load_marks: next(),
            load_consents: next(),
            consents_after: next(),
            make_effects: next(),
            change_effects: next(),
            make_receipts: next(),
            change_receipts: next(),
            make_arrivals: next(),
            keep_sessions: next(),
            make_marks: next(),
            change_marks: next(),
            keep_consents: next(),
            make_lines: next(),
            timeline: next(),
            own_timeline: next(),
            recent: next(),
            own_recent: next(),
            claimed: next(),
            load_sent: next(),
            load_reports: next(),
            make_sent: next(),
            make_reports: next(),
            about: next(),
            receipt_state: next(),
            is_known: next(),
            crowd: next(),
        })
    }
}
