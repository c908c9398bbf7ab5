use std::path::Path;
use std::time::Duration;

use ledger::{Config, SqliteConfig};

/// A ledger at `path`.
pub(crate) fn config(path: &Path, sole_owner: bool) -> Config {
    Config::Sqlite(SqliteConfig { path: path.to_owned(), retain: Duration::from_secs(30 * 86_400), sole_owner })
}
