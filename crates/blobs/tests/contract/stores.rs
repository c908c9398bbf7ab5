use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use blobs::{BlobId, Check, Config, Place, S3, Store};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use runtime::{Clock, HttpClient, HttpClientConfig, ManualClock};
use secrecy::SecretString;
use tempfile::TempDir;
use test_support::S3Server;

/// One store, and the hand on its clock.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) hand: ManualClock,
    _folder: Option<TempDir>,
}

/// One server for all tests of the process; it is killed when the process ends and its pipe is closed.
static SERVER: Mutex<Option<&'static S3Server>> = Mutex::new(None);

impl House {
    pub(crate) fn folder() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::Folder(folder.path().join("blobs"));
        Self { _folder: Some(folder), ..Self::open(place) }
    }

    pub(crate) fn s3() -> Self {
        let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        let server = *server.get_or_insert_with(|| Box::leak(Box::new(S3Server::start())));
        Self::open(Place::S3(S3 {
            bucket: server.bucket(),
            prefix: "pre/fix".to_owned(),
            endpoint: Some(server.endpoint()),
            region: Some("us-east-1".to_owned()),
            access_key: Some((S3Server::ACCESS_KEY.to_owned(), SecretString::from(S3Server::SECRET_KEY))),
        }))
    }

    fn open(place: Place) -> Self {
        let http = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
        let http = HttpClient::new(&http).expect("a client");
        let (clock, hand) = Clock::manual(Clock::system().now());
        let store = Store::open(&Config { place }, &http, clock).expect("it opens");
        Self { store, hand, _folder: None }
    }
}

pub(crate) fn check() -> Check {
    Check { limit: 30 << 20, allowed: vec!["image/png".to_owned()], declared_type: None, declared_size: None }
}

/// A byte of a file that begins as a small picture does.
fn byte(at: u64) -> u8 {
    const HEAD: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10";
    usize::try_from(at).ok().and_then(|at| HEAD.get(at).copied()).unwrap_or((at % 251) as u8)
}

pub(crate) fn png(size: u64) -> Vec<u8> {
    (0..size).map(byte).collect()
}

/// The same, piece by piece, as it would come in from the network.
pub(crate) fn file(size: u64) -> impl Stream<Item = Result<Bytes, String>> + Send {
    const PIECE: u64 = 64 << 10;
    let pieces = (0..size.div_ceil(PIECE)).map(move |piece| {
        let (from, to) = (piece * PIECE, size.min((piece + 1) * PIECE));
        Ok((from..to).map(byte).collect())
    });
    stream::iter(pieces).then(async |piece| {
        tokio::task::yield_now().await;
        piece
    })
}

/// A large file whose every piece takes memory of its own, as those of the network do.
pub(crate) fn flood(size: u64) -> impl Stream<Item = Result<Bytes, String>> + Send {
    const PIECE: usize = 64 << 10;
    let model = png(PIECE as u64);
    let pieces = (0..size / PIECE as u64).map(move |_| Ok(Bytes::copy_from_slice(&model)));
    stream::iter(pieces).then(async |piece| {
        tokio::task::yield_now().await;
        piece
    })
}

pub(crate) async fn kept(store: &Store, id: &BlobId, range: Range<u64>) -> Vec<u8> {
    let bytes = store.read(id, range).await.expect("it is there");
    bytes
        .try_fold(Vec::new(), async |mut all, chunk| {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
        .expect("it comes whole")
}
