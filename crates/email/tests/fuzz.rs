//! What the fuzzer found, and mutations of it: the same functions `make fuzz` runs, replayed.

#[path = "fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

/// Every file of a folder, and of the mails beside it where they fit.
fn inputs(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = fs::read_dir(&folder).expect("it is a folder").map(|entry| entry.expect("it can be listed").path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_none_or(|extension| extension != "snap")).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.into_iter().map(|path| fs::read(path).expect("it can be read")).collect()
}

#[test]
fn mails_that_were_found_are_read() {
    inputs("fuzz/mail").iter().chain(&inputs("corpus")).for_each(|data| targets::mail(data));
}

#[test]
fn statuses_that_were_found_are_read() {
    inputs("fuzz/status").iter().chain(&inputs("corpus")).for_each(|data| targets::status(data));
}

#[test]
fn conversations_that_were_found_come_to_an_end() {
    inputs("fuzz/smtp").iter().chain(&inputs("corpus")).for_each(|data| targets::smtp(data));
}

/// A piece of one input in the place of a piece of another.
fn crossed(one: &[u8], other: &[u8], (at, length, from): (usize, usize, usize)) -> Vec<u8> {
    let at = at % (one.len() + 1);
    let end = (at + length).min(one.len());
    let from = from % (other.len() + 1);
    let piece = &other[from..(from + length).min(other.len())];
    [&one[..at], piece, &one[end..]].concat()
}

proptest! {
    #[test]
    fn crossed_mails_are_read(one in any::<usize>(), other in any::<usize>(), cut in (any::<usize>(), 0usize..400, any::<usize>())) {
        let inputs = inputs("corpus");
        targets::mail(&crossed(&inputs[one % inputs.len()], &inputs[other % inputs.len()], cut));
    }

    #[test]
    fn crossed_conversations_come_to_an_end(one in any::<usize>(), other in any::<usize>(), cut in (any::<usize>(), 0usize..100, any::<usize>())) {
        let inputs = inputs("fuzz/smtp");
        targets::smtp(&crossed(&inputs[one % inputs.len()], &inputs[other % inputs.len()], cut));
    }
}
