use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use secrecy::SecretString;

/// The key of a bridge that was given none: made up once, and kept in a file only its user can read.
///
/// # Errors
/// The file can be neither read nor made.
pub fn made_up_key(path: &Path) -> io::Result<SecretString> {
    if let Some(found) = read(path)? {
        return Ok(found);
    }
    let key: [u8; 32] = rand::random();
    // Written beside and moved, so that a crash leaves no half of a key.
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(hex::encode(key).as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    read(path)?.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file of the signing key is empty"))
}

fn read(path: &Path) -> io::Result<Option<SecretString>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()).map(SecretString::from)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_key_is_made_up_once_and_kept_to_oneself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("media.key");
        let first = made_up_key(&path).unwrap();
        assert_eq!(made_up_key(&path).unwrap().expose_secret(), first.expose_secret());
        assert_eq!(first.expose_secret().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
