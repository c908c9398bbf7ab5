use std::io;
use std::path::Path;
use std::sync::OnceLock;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Makes ring the one crypto provider of this process; later calls find it there.
pub(crate) fn install_provider() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // A provider installed by somebody else before us is as good: the tree holds no other than ring.
        let _already = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Why a file of certificates cannot be used. What it holds is never quoted.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// The file is not there, or not for this process.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// There is none in it.
    #[error("holds no certificate in PEM")]
    Empty,
    /// One of them is no authority that could be trusted.
    #[error("holds a certificate that cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// Certificates of a PEM file, at least one.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let text = std::fs::read(file).map_err(CertificatesError::Unreadable)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    // Why it is no PEM is left out: that would quote a line of the file, which may be a key by mistake.
    found.ok().filter(|found| !found.is_empty()).ok_or(CertificatesError::Empty)
}

/// Certificates of a PEM file, each of which can be trusted as an authority.
///
/// # Errors
/// As [`read_certificates`], and one that cannot be used.
pub fn read_authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let found = read_certificates(file)?;
    let mut store = RootCertStore::empty();
    for one in &found {
        store.add(one.clone()).map_err(CertificatesError::Unusable)?;
    }
    Ok(found)
}
