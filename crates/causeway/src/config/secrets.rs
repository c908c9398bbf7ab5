//! Secrets: given as they are or by file, and never recorded.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::section::Section;

impl Section<'_> {
    /// A secret given as `key`, or as `key_file`.
    pub(super) fn secret(&self, key: &str) -> Option<SecretString> {
        let file_key = format!("{key}_file");
        match (self.private_string(key), self.path(&file_key)) {
            (Some(_), Some(_)) => {
                self.problem(key, format!("is given twice, also as {file_key}"), "one of the two");
                None
            }
            (Some(secret), None) => self.usable(key, secret),
            (None, Some(path)) => self.secret_file(&file_key, &path),
            (None, None) => None,
        }
    }

    /// Text that is never recorded as it is.
    fn private_string(&self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        self.record(key, "***");
        if !value.is_string() {
            self.problem(key, "must be text", "it in quotation marks");
        }
        value.as_str().map(str::to_owned)
    }

    /// Whether a secret's value is at hand: one of a file may not have been read.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.shared.read_secrets || self.has(key)
    }

    /// The key by which a secret was given, for problems with it.
    pub(super) fn given(&self, key: &str) -> String {
        if self.has(key) { key.to_owned() } else { format!("{key}_file") }
    }

    /// The secret of a command itself, which is read also where no other is. Whoever may not read it is told by the process it asks.
    pub(super) fn own_secret(&self, key: &str) -> Option<SecretString> {
        let given = self.secret(key)?;
        if self.shared.read_secrets {
            return Some(given);
        }
        let read = self.path(&format!("{key}_file")).and_then(|path| std::fs::read_to_string(path).ok());
        Some(read.map_or(given, |text| SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())))
    }

    pub(super) fn required_secret(&self, key: &str) -> Option<SecretString> {
        if !self.has(key) && !self.has(&format!("{key}_file")) {
            self.problem(key, "is missing", &format!("{key}_file = \"/run/secrets/…\""));
        }
        self.secret(key)
    }

    /// Secrets given as `{stem}s = […]` and `{stem}_files = […]`.
    pub(super) fn secrets(&self, stem: &str) -> Vec<SecretString> {
        let (plain_key, file_key) = (format!("{stem}s"), format!("{stem}_files"));
        let plain = self.list(&plain_key);
        if !plain.is_empty() {
            self.record(&plain_key, vec!["***"; plain.len()]);
        }
        let plain: Vec<SecretString> = plain.into_iter().filter_map(|secret| self.usable(&plain_key, secret)).collect();
        let files = self.strings(&file_key).into_iter().map(PathBuf::from);
        plain.into_iter().chain(files.filter_map(|path| self.secret_file(&file_key, &path))).collect()
    }

    fn secret_file(&self, key: &str, path: &Path) -> Option<SecretString> {
        self.shared.secret_files.borrow_mut().push(path.to_owned());
        if !self.shared.read_secrets {
            return Some(SecretString::from("not read"));
        }
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let cut = text.strip_suffix('\n').map_or(text.as_str(), |cut| cut.strip_suffix('\r').unwrap_or(cut));
                self.usable(key, cut.to_owned())
            }
            Err(error) => {
                let instead = "the path of a file this process may read (or check with --without-secrets)";
                self.problem(key, format!("{} cannot be read: {error}", path.display()), instead);
                None
            }
        }
    }

    fn usable(&self, key: &str, secret: String) -> Option<SecretString> {
        if secret.is_empty() {
            self.problem(key, "holds an empty secret", "a secret of at least one character");
            return None;
        }
        Some(SecretString::from(secret))
    }
}
