use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::dial::Dial;
use super::fault::Fault;
use super::schema::{self, Refusal};
use super::statements::Statements;

/// A statement that takes longer than its caller waits is given up, and a process that stands still in a transaction does not
/// hold the others up. Everything here is looked up by a key: a plan that reads a table from end to end, made while that table
/// was small, would be kept while it grows.
const SETTINGS: &str = "
    SET statement_timeout = '1400ms'; SET lock_timeout = '700ms'; SET idle_in_transaction_session_timeout = '5s';
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
    SET plan_cache_mode = force_generic_plan; SET jit = off; SET client_min_messages = error";
/// An answer is given only after an fsync, as with SQLite; whoever demands more of the commit gets more.
const DURABLE: &str =
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// How long one round trip may take, before the connection is given up.
const TRIP: Duration = Duration::from_millis(1_400);

/// A round trip that has an end.
pub(super) async fn in_time<T>(trip: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || Fault::Lost(format!("no answer within {} ms", TRIP.as_millis()));
    timeout(TRIP, trip).await.unwrap_or_else(|_| Err(late()))
}

async fn connected(dial: &Dial) -> Result<(Client, JoinSet<()>), Refusal> {
    let connected = timeout(dial.patience(), dial.connect()).await;
    Ok(connected.map_err(|_| Refusal::Unknown("it cannot be reached in time".to_owned()))??)
}

/// The schema that is there, and nothing else; 0 where there is none.
pub(super) async fn schema_there(dial: &Dial) -> Result<u32, Refusal> {
    let (client, _driver) = connected(dial).await?;
    schema::look(&client).await
}

/// A connection, ready for work.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) statements: Statements,
    /// Ends with the link.
    _driver: JoinSet<()>,
}

impl Link {
    /// Connects. The schema is brought up to date only where `may_migrate`: a ledger that was there before and is gone is never
    /// replaced by an empty one, which would forget what was sent, and send it again.
    pub(super) async fn open(dial: &Dial, may_migrate: bool) -> Result<(Self, u32), Refusal> {
        let (client, driver) = connected(dial).await?;
        let encoding: String = client.query_one("SHOW server_encoding", &[]).await?.get(0);
        if encoding != "UTF8" {
            return Err(Refusal::Unfit(format!(
                "its database has the encoding {encoding}; make one with ENCODING 'UTF8' TEMPLATE template0"
            )));
        }
        let schema = if may_migrate { schema::migrate(&client).await? } else { schema::look(&client).await? };
        client.batch_execute(SETTINGS).await?;
        client.batch_execute(DURABLE).await?;
        let statements = Statements::prepare(&client).await?;
        Ok((Self { client, statements, _driver: driver }, schema))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PostgresConfig, TimeSource};

    #[tokio::test]
    async fn a_commit_is_an_fsync_whatever_the_database_is_set_to() {
        let url = test_support::shared_postgres();
        for (set, found) in [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")] {
            let change = format!(
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = {set}', current_database()); END $$"
            );
            test_support::postgres_sql(&url, &change);
            let (ca_file, retain, time) = (None, Duration::from_secs(1), TimeSource::Database);
            let dial = Dial::new(&PostgresConfig { url: url.clone().into(), ca_file, retain, time }).unwrap();
            let Ok((link, _schema)) = Link::open(&dial, true).await else { panic!("it is opened") };
            let shown = link.client.query_one("SHOW synchronous_commit", &[]).await.unwrap();
            assert_eq!(shown.get::<_, &str>(0), found);
        }
    }
}
