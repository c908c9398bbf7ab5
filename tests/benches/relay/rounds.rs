//! The floor and Causeway by turns, again and again, so that what else runs on the machine is shared by all of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::bridge::{Bridge, Causeway, INBOUND, REPLIES};
use super::far::{Desk, Far};
use super::load::{self, Kind};
use super::settings::{Books, Queues, Settings};
use super::table::{Measured, Row};

pub(crate) const SENDERS: [u64; 3] = [1, 16, 128];

/// How long it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) length: Duration,
}

/// Which lines of the table; all, where nothing is said. The floor is always there.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) senders: Option<u64>,
    pub(crate) what: Option<String>,
}

impl Lines {
    fn have(&self, subject: &Subject) -> bool {
        let what = |what: &String| subject.name.split_whitespace().eq(what.split_whitespace());
        subject.bridge == 0 || self.what.as_ref().is_none_or(what)
    }
}

/// One bridge and what is sent through it.
struct Subject {
    name: String,
    bridge: usize,
    kind: Kind,
}

/// Everything there is to measure: the floor first.
pub(crate) struct Field {
    bridges: Vec<Bridge>,
    subjects: Vec<Subject>,
    desk: Arc<Desk>,
}

impl Field {
    /// `vhosts` are three empty ones of the RabbitMQ, `databases` two of the PostgreSQL.
    pub(crate) async fn start(
        far: &Far,
        folder: &Path,
        vhosts: [String; 3],
        databases: [String; 2],
    ) -> anyhow::Result<Self> {
        let [floor, with_sqlite, with_postgres] = vhosts;
        let [of_rabbit, of_embedded] = databases;
        let mut field = Self { bridges: Vec::new(), subjects: Vec::new(), desk: far.desk() };
        field.bridges.push(Bridge::floor(far, &floor, folder).await.context("the floor")?);
        field.subjects.push(Subject { name: "floor".to_owned(), bridge: 0, kind: Kind::Text });
        let houses = [
            (Queues::RabbitMq(with_sqlite), Books::Sqlite),
            (Queues::RabbitMq(with_postgres), Books::Postgres(of_rabbit)),
            (Queues::Embedded, Books::Sqlite),
            (Queues::Embedded, Books::Postgres(of_embedded)),
        ];
        for (number, (queues, books)) in (0..).zip(houses) {
            let (broker, ledger) = (queues.to_string(), books.to_string());
            let settings = Settings { queues, books, far: far.url() };
            let causeway = Causeway::new(settings, folder.join(format!("bridge-{number}")))?;
            causeway.prepare().await?;
            let roles: Vec<&str> = INBOUND.iter().chain(REPLIES).copied().collect();
            let bridge = field.bridges.len();
            field.bridges.push(causeway.start(&roles).await?);
            for (what, kind) in [("inbound", Kind::Text), ("replies", Kind::Reply)] {
                let name = format!("{what:<8} {broker:<9} {ledger:<10}");
                field.subjects.push(Subject { name, bridge, kind });
            }
        }
        Ok(field)
    }

    /// Measures all of it, with medians over the rounds.
    pub(crate) async fn measure(&self, effort: Effort, lines: &Lines) -> anyhow::Result<Vec<(u64, Vec<Row>)>> {
        let subjects: Vec<&Subject> = self.subjects.iter().filter(|subject| lines.have(subject)).collect();
        for subject in &subjects {
            self.round(subject, 16, effort.length / 2).await?;
        }
        let mut rows: Vec<(u64, Vec<Row>)> = Vec::new();
        for senders in SENDERS.into_iter().filter(|number| lines.senders.is_none_or(|senders| senders == *number)) {
            rows.push((senders, subjects.iter().map(|subject| Row::new(&subject.name)).collect()));
        }
        for _ in 0..effort.rounds {
            for (senders, rows) in &mut rows {
                for (subject, row) in subjects.iter().zip(rows) {
                    row.add(self.round(subject, *senders, effort.length).await?);
                }
            }
        }
        Ok(rows)
    }

    async fn round(&self, subject: &Subject, senders: u64, length: Duration) -> anyhow::Result<Measured> {
        let bridge = &self.bridges[subject.bridge];
        let before = bridge.cpu()?;
        let round = load::round(&self.desk, bridge.door(subject.kind), senders, length).await;
        let round = round.with_context(|| format!("{}, {senders} senders", subject.name.trim()))?;
        Ok(Measured::new(round, bridge.cpu()? - before, bridge.peak()?))
    }

    /// Ends everything; a bridge that does not end well is an error.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        for bridge in self.bridges.into_iter().skip(1) {
            bridge.end().await?;
        }
        Ok(())
    }
}
