use std::time::Duration;

use ledger::{Config, PostgresConfig, TimeSource};

/// A ledger in the database of a URL.
pub(crate) fn config(url: &str, time: TimeSource) -> Config {
    let retain = Duration::from_secs(30 * 86_400);
    Config::Postgres(PostgresConfig { url: url.into(), ca_file: None, retain, time })
}
