//! Logging is set up once in a process, and takes its panics; so this has a process of its own.

use std::io::Write;
use std::sync::{Arc, Mutex};

use runtime::logging::{Format, init, init_with_writer};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics while writing").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_is_logged_without_its_message() {
    let kept = Kept::default();
    let writer = kept.clone();
    init_with_writer(move || writer.clone(), Format::Auto, "trace,h2=debug").unwrap();
    let panicked = std::thread::Builder::new().name("jumpy".to_owned()).spawn(|| panic!("+13125550100 said hello"));
    let panicked = panicked.unwrap().join().is_err();
    let again = init(Format::Auto, "info").is_err();
    // The assertions come last and with the usual hook, for theirs are messages somebody should see.
    drop(std::panic::take_hook());
    let lines = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let warned = lines.lines().any(|line| line.contains("\"libraries\":\"h2\""));
    let told = lines.lines().find(|line| line.contains("\"thread\":\"jumpy\""));
    assert!(panicked && again && warned, "{lines}");
    assert!(told.is_some_and(|line| line.contains("tests/panic.rs")) && !lines.contains("13125550100"), "{lines}");
}
