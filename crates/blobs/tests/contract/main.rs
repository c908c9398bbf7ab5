//! What a store of files does, whichever kind it is: a folder, and a real S3-compatible server.

mod memory;
mod stores;

use std::time::Duration;

use blobs::{BlobId, Check, Limits, PutError, Refusal};
use bytes::Bytes;
use futures_util::stream;
use jiff::SignedDuration;

use stores::{House, check, file, kept, png};

/// Runs every rule on both kinds.
macro_rules! contract {
    ($($rule:ident),* $(,)?) => {
        mod folder { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $rule() {
            let _beside = super::memory::ALONE.read().await;
            super::$rule(super::House::folder()).await;
        })* }
        mod s3 { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $rule() {
            let _beside = super::memory::ALONE.read().await;
            super::$rule(super::House::s3()).await;
        })* }
    };
}

contract!(
    a_file_comes_back_as_it_was,
    a_range_comes_back,
    what_is_refused_leaves_nothing,
    what_breaks_off_leaves_nothing,
    a_file_is_written_over,
    notes_stand_beside_a_file,
    a_refusal_holds_while_its_limits_do,
    metadata_hides_no_bomb,
    what_is_old_is_swept,
    a_turn_is_had_before_a_source_is_opened,
);

async fn a_turn_is_had_before_a_source_is_opened(house: House) {
    let id = BlobId::derive(&["turn"]);
    let mut turns = Vec::new();
    while let Some(turn) = house.store.turn() {
        turns.push(turn);
        assert!(turns.len() < 100, "nobody counts them");
    }
    let checks = check();
    let waits = house.store.put(&id, None, &checks, file(100));
    assert!(tokio::time::timeout(Duration::from_millis(100), waits).await.is_err(), "it is nobody's turn");
    let turn = turns.pop().expect("there is at least one");
    house.store.put_in(turn, &id, None, &checks, file(100)).await.expect("the store answers");
    assert!(house.store.turn().is_some(), "the turn ends with the file");
    assert_eq!(kept(&house.store, &id, 0..100).await, png(100));
}

async fn a_file_comes_back_as_it_was(house: House) {
    for size in [100, 70_000, 700_000, 12_000_000] {
        let id = BlobId::derive(&["file", &size.to_string()]);
        let about = house
            .store
            .put(&id, Some("Foto ä.png".to_owned().into()), &check(), file(size))
            .await
            .expect("the store answers");
        assert_eq!((about.media_type.as_str(), about.size), ("image/png", size));
        assert_eq!(house.store.about(&id).await.expect("the store answers"), Some(about));
        assert!(kept(&house.store, &id, 0..size).await == png(size), "{size} bytes come back");
    }
    assert_eq!(house.store.about(&BlobId::derive(&["nobody"])).await.expect("the store answers"), None);
}

async fn a_refusal_holds_while_its_limits_do(house: House) {
    let id = BlobId::derive(&["refused"]);
    let png = ["image/png".to_owned()];
    let narrow = Limits { types: &png, size: 1000 };
    assert_eq!(house.store.refused(&id, narrow).await.expect("the store answers"), None);
    house.store.refuse(&id, "type-not-allowed", narrow).await.expect("the store answers");
    let known = house.store.refused(&id, narrow).await.expect("the store answers");
    assert_eq!(known.as_deref(), Some("type-not-allowed"));
    let both = ["image/png".to_owned(), "image/jpeg".to_owned()];
    for wider in [Limits { types: &both, size: 1000 }, Limits { types: &png, size: 2000 }] {
        let known = house.store.refused(&id, wider).await.expect("the store answers");
        assert_eq!(known, None, "the operator widened what is taken, so it is checked anew");
    }
}

/// A photograph whose frame stands behind more metadata than is looked at to say what a file is.
async fn metadata_hides_no_bomb(house: House) {
    let check = Check { allowed: vec!["image/jpeg".to_owned()], ..check() };
    let jpeg = |height: u16| {
        let mut bytes = b"\xff\xd8".to_vec();
        for _ in 0..5 {
            bytes.extend(b"\xff\xe2\xff\xff");
            bytes.extend(std::iter::repeat_n(1, 0xfffd));
        }
        bytes.extend(b"\xff\xc0\0\x0b\x08");
        bytes.extend(height.to_be_bytes());
        bytes.extend(b"\xff\xff\x01\x01\x11\0");
        bytes.resize(bytes.len() + 300_000, 5);
        stream::iter(bytes.chunks(8192).map(|chunk| Ok::<_, String>(Bytes::copy_from_slice(chunk))).collect::<Vec<_>>())
    };
    let id = BlobId::derive(&["photograph"]);
    house.store.put(&id, None, &check, jpeg(1000)).await.expect("it is a photograph");
    let id = BlobId::derive(&["bomb"]);
    let refused = house.store.put(&id, None, &check, jpeg(60_000)).await;
    assert!(matches!(refused, Err(PutError::Refused(Refusal::Bomb))), "{refused:?}");
    assert_eq!(house.store.about(&id).await.expect("the store answers"), None, "it leaves nothing behind");
}

async fn a_range_comes_back(house: House) {
    let id = BlobId::derive(&["range"]);
    house.store.put(&id, None, &check(), file(6_000_000)).await.expect("the store answers");
    let whole = png(6_000_000);
    for range in [0..1, 10..20, 4_194_303..4_194_305, 5..5_242_890, 5_242_870..5_242_890, 5_999_999..6_000_000] {
        let expected = &whole[usize::try_from(range.start).expect("the store answers")
            ..usize::try_from(range.end).expect("the store answers")];
        assert_eq!(kept(&house.store, &id, range).await, expected);
    }
    assert!(kept(&house.store, &id, 7..7).await.is_empty());
}

async fn what_is_refused_leaves_nothing(house: House) {
    let id = BlobId::derive(&["refused"]);
    let refused = async |check: &Check, bytes: Vec<u8>| {
        let chunks: Vec<Result<Bytes, String>> =
            bytes.chunks(50_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        match house.store.put(&id, None, check, stream::iter(chunks)).await {
            Err(PutError::Refused(refusal)) => refusal,
            other => panic!("it is refused: {other:?}"),
        }
    };
    assert_eq!(refused(&check(), Vec::new()).await, Refusal::Empty);
    assert_eq!(refused(&check(), b"<html><script>".to_vec()).await, Refusal::Type);
    let small = Check { limit: 6_000_000, ..check() };
    assert_eq!(refused(&small, png(6_000_001)).await, Refusal::TooLarge);
    let said = Check { declared_size: Some(20), ..check() };
    assert_eq!(refused(&said, png(6_000_000)).await, Refusal::SizeMismatch);
    assert_eq!(house.store.about(&id).await.expect("the store answers"), None);
    assert!(house.store.read(&id, 0..1).await.is_err(), "no byte of it is kept");
}

async fn what_breaks_off_leaves_nothing(house: House) {
    let id = BlobId::derive(&["broken"]);
    let chunks = (0..200).map(|_| Ok(Bytes::from(png(50_000)))).chain([Err("cut off")]);
    let broken = house.store.put(&id, None, &check(), stream::iter(chunks)).await;
    assert!(matches!(broken, Err(PutError::Source("cut off"))), "{broken:?}");
    assert!(house.store.read(&id, 0..1).await.is_err(), "no byte of it is kept");
}

async fn a_file_is_written_over(house: House) {
    let id = BlobId::derive(&["again"]);
    for size in [300_000, 200] {
        house.store.put(&id, None, &check(), file(size)).await.expect("the store answers");
        assert_eq!(house.store.about(&id).await.expect("the store answers").expect("it is there").size, size);
        assert_eq!(kept(&house.store, &id, 0..size).await, png(size));
    }
}

async fn notes_stand_beside_a_file(house: House) {
    let id = BlobId::derive(&["noted"]);
    assert_eq!(house.store.noted(&id, "genesys").await.expect("the store answers"), None);
    house.store.note(&id, "genesys", "bb4a9f86").await.expect("the store answers");
    assert_eq!(house.store.noted(&id, "genesys").await.expect("the store answers").as_deref(), Some("bb4a9f86"));
    house.store.unnote(&id, "genesys").await.expect("the store answers");
    house.store.unnote(&id, "genesys").await.expect("the store answers");
    assert_eq!(house.store.noted(&id, "genesys").await.expect("the store answers"), None);
}

async fn what_is_old_is_swept(house: House) {
    let (old, fresh) = (BlobId::derive(&["old"]), BlobId::derive(&["fresh"]));
    house.store.put(&old, None, &check(), file(100)).await.expect("the store answers");
    assert_eq!(house.store.sweep(Duration::from_secs(3600)).await.expect("the store answers"), 0);
    house.hand.advance(SignedDuration::from_hours(2));
    assert_eq!(
        house.store.sweep(Duration::from_secs(3600)).await.expect("the store answers"),
        2,
        "its bytes, and what is known of it"
    );
    assert_eq!(house.store.about(&old).await.expect("the store answers"), None);
    assert!(house.store.read(&old, 0..1).await.is_err());
    house.hand.advance(SignedDuration::from_hours(-2));
    house.store.put(&fresh, None, &check(), file(100)).await.expect("the store answers");
    assert_eq!(house.store.sweep(Duration::from_secs(3600)).await.expect("the store answers"), 0);
}

/// Fifty of 25 MB would be 1250 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_large_files_in_a_folder_are_not_in_memory() {
    memory::measure(House::folder()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_large_files_in_an_object_store_are_not_in_memory() {
    memory::measure(House::s3()).await;
}
