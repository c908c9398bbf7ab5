use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::exit::Exit;
use crate::config::{Loaded, Source, load};
use crate::house::Reload;

/// How often secret files are looked at for a change.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// Reads a configuration file under this process's environment.
pub(super) fn load_file(path: &Path, read_secrets: bool) -> Result<Loaded, Exit> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let file = path.display().to_string();
    load(&Source { file: &file, text: &text, environment: environment() }, read_secrets).map_err(Exit::Config)
}

/// Reads the same file again when one of its secret files changes.
pub(super) fn reload(path: &Path, files: &[PathBuf]) -> Result<Option<Reload>, Exit> {
    if files.is_empty() {
        return Ok(None);
    }
    // The text is kept: only secrets may change under a running process, not what they belong to.
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let file = path.display().to_string();
    let environment = environment();
    let read = move || load(&Source { file: &file, text: &text, environment: environment.clone() }, true);
    Ok(Some(Reload { read: Box::new(read), files: files.to_vec(), every: RELOAD_EVERY }))
}

/// This process's environment; values that are not Unicode cannot be settings.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect()
}
