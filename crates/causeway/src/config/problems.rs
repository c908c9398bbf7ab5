use std::fmt;

/// One thing that is wrong, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `file: key`, or the environment variable.
    pub at: String,
    /// What is wrong; never a value that may be a secret.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

/// All of them together: an operator mends a file once.
#[derive(Debug, Default)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new() }
    }

    /// Adds a problem with the key at `path`; an empty path is the file itself.
    pub(super) fn add(&mut self, path: &str, what: String, instead: &str) {
        let at = match path {
            "" => self.file.clone(),
            variable if variable.starts_with("CAUSEWAY__") => variable.to_owned(),
            key => format!("{}: {key}", self.file),
        };
        self.list.push(Problem { at, what, instead: instead.to_owned() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Every problem.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; write {}", self.at, self.what, self.instead)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            writeln!(formatter, "{problem}")?;
        }
        Ok(())
    }
}
