use blobs::BlobId;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use tokio::sync::RwLock;

use crate::stores::{House, check, flood};

const FILES: usize = 50;
/// 25 MiB.
const SIZE: u64 = 400 * (64 << 10);
const MOST: u64 = 150 << 20;

/// What the process holds now, and what it held at most since it was last asked to forget.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the kernel tells");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    kilobytes * 1024
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("the kernel forgets its peak when told");
}

/// Each store is measured alone, while all other tests of the process wait: what it holds is theirs together.
pub(crate) static ALONE: RwLock<()> = RwLock::const_new(());

/// Writes and reads fifty files at once.
pub(crate) async fn measure(house: House) {
    let _alone = ALONE.write().await;
    forget_peak();
    let ids: Vec<BlobId> = (0..FILES).map(|number| BlobId::derive(&["large", &number.to_string()])).collect();
    let check = check();
    let written = join_all(ids.iter().map(|id| house.store.put(id, None, &check, flood(SIZE)))).await;
    let failed = written.iter().find(|about| !about.as_ref().is_ok_and(|about| about.size == SIZE));
    assert!(failed.is_none(), "{failed:?}");
    let read = join_all(ids.iter().map(async |id| {
        let bytes = house.store.read(id, 0..SIZE).await.expect("it is there");
        bytes.try_fold(0, async |sum, chunk| Ok(sum + chunk.len() as u64)).await.expect("it comes whole")
    }))
    .await;
    assert!(read.iter().all(|size| *size == SIZE));
    assert!(peak() < MOST, "{FILES} files of {SIZE} bytes took {} MB", peak() >> 20);
}
