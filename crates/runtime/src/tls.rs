use std::sync::OnceLock;

/// Makes ring the one crypto provider of this process; later calls find it there.
pub(crate) fn install_provider() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // A provider installed by somebody else before us is as good: the tree holds no other than ring.
        let _already = rustls::crypto::ring::default_provider().install_default();
    });
}
