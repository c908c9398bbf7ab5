use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use runtime::HttpClient;
use secrecy::{ExposeSecret, SecretString};

use crate::BlobError;
use crate::connector::Connector;

/// Where files are kept.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder of this machine, or one that several share.
    Folder(PathBuf),
    /// A bucket.
    S3(S3),
}

/// A bucket of an S3-compatible store.
#[derive(Debug, Clone)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Before every key; may be empty.
    pub prefix: String,
    /// The store's address, where it is not Amazon's own.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Who asks. Without: `AWS_…` of the environment, a web identity, or the machine's own role.
    pub access_key: Option<(String, SecretString)>,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where.
    pub place: Place,
}

/// S3 takes no part smaller than this, but for the last.
const S3_PART: usize = 5 << 20;
const S3_WRITERS: usize = 6;
const FOLDER_PART: usize = 256 << 10;
const FOLDER_WRITERS: usize = 64;

/// A call of the store that fails is tried again within the message's own patience.
const RETRIES: usize = 2;
const RETRY_WITHIN: Duration = Duration::from_secs(15);

impl Place {
    pub(crate) fn open(&self, http: &HttpClient) -> Result<Arc<dyn ObjectStore>, BlobError> {
        match self {
            Self::Folder(path) => folder(path),
            Self::S3(bucket) => s3(bucket, http),
        }
    }

    /// Bytes of one part, and files written at a time: each holds up to one part in memory.
    pub(crate) const fn sizes(&self) -> (usize, usize) {
        match self {
            Self::Folder(_) => (FOLDER_PART, FOLDER_WRITERS),
            Self::S3(_) => (S3_PART, S3_WRITERS),
        }
    }
}

fn folder(path: &std::path::Path) -> Result<Arc<dyn ObjectStore>, BlobError> {
    let told =
        |error: &dyn std::fmt::Display| BlobError::Settings(format!("{} cannot be used: {error}", path.display()));
    std::fs::create_dir_all(path).map_err(|error| told(&error))?;
    // Others on this machine have no business with consumers' pictures.
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .map_err(|error| told(&error))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| told(&error))?;
    Ok(Arc::new(store.with_fsync(true)))
}

fn s3(bucket: &S3, http: &HttpClient) -> Result<Arc<dyn ObjectStore>, BlobError> {
    let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_WITHIN };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&bucket.bucket)
        .with_http_connector(Connector(http.clone()))
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(retry);
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
    }
    if let Some(region) = &bucket.region {
        builder = builder.with_region(region);
    }
    if let Some((id, secret)) = &bucket.access_key {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose_secret());
    }
    let store = builder.build().map_err(|error| BlobError::Settings(error.to_string()))?;
    Ok(Arc::new(PrefixStore::new(store, Path::from(bucket.prefix.as_str()))))
}
