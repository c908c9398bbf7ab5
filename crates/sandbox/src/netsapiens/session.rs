use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;
use rand::RngExt;

/// Rows and sessions remembered; the oldest go first.
const ROWS: usize = 1_000;
const SESSIONS: usize = 5_000;
/// Row ids look like those of the documents.
const FIRST_ROW: u64 = 20_202_178_326;

/// One message of a session.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) at: Timestamp,
    pub(super) outbound: bool,
    pub(super) user_agent: String,
    pub(super) text: String,
    /// Who of a group wrote it.
    pub(super) member: Option<String>,
}

/// One conversation of one user.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) ordinal: u64,
    pub(super) user: String,
    pub(super) id: String,
    pub(super) number: String,
    /// The far side; of a group the members' numbers with commas between.
    pub(super) remote: String,
    pub(super) started: Timestamp,
    pub(super) rows: VecDeque<Row>,
}

/// Every session of a server.
pub(super) struct Sessions {
    by_id: BTreeMap<(String, String), Session>,
    /// The newest session of (our number, remote): where a consumer's next message goes.
    current: HashMap<(String, String), String>,
    next_ordinal: u64,
    next_row: u64,
}

/// Whose session it is and between whom.
#[derive(Clone, Copy)]
pub(super) struct Between<'a> {
    pub(super) user: &'a str,
    pub(super) number: &'a str,
    pub(super) remote: &'a str,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { by_id: BTreeMap::new(), current: HashMap::new(), next_ordinal: 0, next_row: FIRST_ROW }
    }

    pub(super) fn get(&self, user: &str, id: &str) -> Option<&Session> {
        self.by_id.get(&(user.to_owned(), id.to_owned()))
    }

    /// All of a user, or of everyone, the newest first.
    pub(super) fn list(&self, user: Option<&str>) -> Vec<&Session> {
        let mut sessions: Vec<_> =
            self.by_id.values().filter(|session| user.is_none_or(|user| session.user == user)).collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.rows.back().map(|row| (row.at, row.id))));
        sessions
    }

    /// The id of the running conversation, or a new one as servers make them.
    pub(super) fn current(&self, between: Between<'_>) -> String {
        let key = (between.number.to_owned(), between.remote.to_owned());
        self.current.get(&key).cloned().unwrap_or_else(random_id)
    }

    /// Adds a message, and the session where there is none yet.
    pub(super) fn add(&mut self, id: &str, between: Between<'_>, at: Timestamp, row: NewRow) -> Row {
        let key = (between.user.to_owned(), id.to_owned());
        if !self.by_id.contains_key(&key) {
            self.make_room();
            let session = Session {
                ordinal: self.next_ordinal,
                user: between.user.to_owned(),
                id: id.to_owned(),
                number: between.number.to_owned(),
                remote: between.remote.to_owned(),
                started: at,
                rows: VecDeque::new(),
            };
            self.next_ordinal += 1;
            self.by_id.insert(key.clone(), session);
        }
        self.current.insert((between.number.to_owned(), between.remote.to_owned()), id.to_owned());
        let NewRow { outbound, user_agent, text, member } = row;
        let row = Row { id: self.next_row, at, outbound, user_agent, text, member };
        self.next_row += 1;
        if let Some(session) = self.by_id.get_mut(&key) {
            if session.rows.len() == ROWS {
                session.rows.pop_front();
            }
            session.rows.push_back(row.clone());
        }
        row
    }

    /// Forgets a session; whether it was there.
    pub(super) fn remove(&mut self, user: &str, id: &str) -> bool {
        self.current.retain(|_, current| current != id);
        self.by_id.remove(&(user.to_owned(), id.to_owned())).is_some()
    }

    fn make_room(&mut self) {
        if self.by_id.len() < SESSIONS {
            return;
        }
        let oldest = self.by_id.iter().min_by_key(|(_, session)| session.ordinal).map(|(key, _)| key.clone());
        if let Some(session) = oldest.and_then(|key| self.by_id.remove(&key)) {
            self.current.retain(|_, id| *id != session.id);
        }
    }
}

/// What a row is made of.
pub(super) struct NewRow {
    pub(super) outbound: bool,
    pub(super) user_agent: String,
    pub(super) text: String,
    /// Who of a group wrote it.
    pub(super) member: Option<String>,
}

impl Session {
    /// Whether it is between more than two.
    pub(super) fn is_group(&self) -> bool {
        self.remote.contains(',')
    }

    /// Everybody's number, ours too, where it is a group.
    pub(super) fn participants(&self) -> String {
        if self.is_group() { format!("{},{}", self.remote, self.number) } else { String::new() }
    }

    /// The number of whoever wrote a row.
    pub(super) fn sender<'a>(&'a self, row: &'a Row) -> &'a str {
        if row.outbound { &self.number } else { row.member.as_deref().unwrap_or(&self.remote) }
    }
}

/// 32 lower-case hex characters.
pub(super) fn random_id() -> String {
    hex::encode(rand::rng().random::<[u8; 16]>())
}
