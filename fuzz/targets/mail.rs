#![no_main]

#[path = "../../crates/email/tests/fuzz/targets.rs"]
#[expect(dead_code, reason = "each program runs one of them")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::mail(data));
