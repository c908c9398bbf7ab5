use proptest::prelude::*;

use super::*;

/// The vectors of section 3.1.
const V1: &str = r#"{"messages":[{"channel":{"from":{"id":"16504661149"},"to":{"id":"0123456789"}},"type":"Text","text":"Consumer message text"}]}"#;
const V3: &str = r#"{"channel":{"id":"0123456789","type":"sms","from":{"id":"0123456789"},"to":{"id":"16504661149"},"messageId":"1613474523265-0"},"type":"Text","text":"Agent message text"}"#;
const V4: &str = r#"{"messages":[{"channel":{"from":{"id":"0123456789"},"to":{"id":"16504661149"},"messageId":"1613474523265-0"},"type":"Receipt","status":"Delivered"}]}"#;
const V5: &str = r#"{"messages":[{"channel":{"from":{"id":"no-reply@company.com"},"to":{"id":"recipient-1@mail.com"},"messageId":"f7acbac6-68db-4031-aec2-4bbd02627c4b"},"type":"Receipt","status":"Failed","reasons":[{"code":350,"message":"Message not allowed. Your account has been suspended."}]}]}"#;
const V8A: &str = "--nexus-boundary-1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"hello.txt\"\r\nContent-Type: text/plain\r\n\r\nhello nexus\n\r\n--nexus-boundary-1--\r\n";

fn secrets(list: &[&str]) -> Secrets {
    let list: Vec<SecretString> = list.iter().map(|secret| SecretString::from(*secret)).collect();
    Secrets::new(&list, SecretEncoding::Utf8).unwrap()
}

fn check(secret: &str, body: &str, len: usize, expected: &str) {
    assert_eq!(body.len(), len);
    let secrets = secrets(&[secret]);
    assert_eq!(sign(&secrets, body.as_bytes()), format!("sha1={expected}"));
    assert!(secrets.verify(Some(&format!("sha1={expected}")), body.as_bytes()).is_ok());
}

#[test]
fn every_vector_signs_and_verifies() {
    check("Jefe", "what do ya want for nothing?", 28, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    let nexus = |body: &str, len, expected| check("nexus-test-secret", body, len, expected);
    nexus(V1, 126, "5ea9689274a5e5bd115b8141556fa516b5c13cfd");
    nexus(&format!("{V1}\n"), 127, "175acd1a185baff3855a89f75bfc3bea1002506a");
    nexus(V3, 169, "e45a52871093ba40b2fd45e6acd20eb262f86a8b");
    nexus(V4, 149, "4dc2feaf3d37eb7f6bebfba7814df358da78103a");
    nexus(V5, 277, "49dea99a096d06936e01d9ca79caa0fca43d4d3d");
    nexus(r#"{"type":"Text","text":"Grüße €5 😀"}"#, 42, "16a5536badfe6da4106187e5cde4557bfa63cf63");
    let escaped = r#"{"type":"Text","text":"Gr\u00fc\u00dfe \u20ac5 \ud83d\ude00"}"#;
    nexus(escaped, 61, "64fd4a16260e8a187ce0cedf84076fea20752300");
    nexus("", 0, "7d3d9c5a31e6676919d675d67901a74d99d116c3");
    nexus(V8A, 151, "8af1c89869428180c2392075a19a27ea80d638d2");
    nexus("hello nexus\n", 12, "fbcf7241e43f6e35e2cc14a8aa062e970c71766a");
}

#[test]
fn the_signature_of_one_body_is_refused_on_another() {
    let secrets = secrets(&["nexus-test-secret"]);
    let of_v1 = sign(&secrets, V1.as_bytes());
    let other = format!("{V1}\n");
    assert_eq!(secrets.verify(Some(&of_v1), other.as_bytes()).err(), Some(SignatureError::Mismatch));
}

#[test]
fn case_and_spaces_around_do_not_matter_and_anything_else_does() {
    let secrets = secrets(&["nexus-test-secret"]);
    let upper = format!(" SHA1={} ", sign(&secrets, b"x")[5..].to_uppercase());
    assert!(secrets.verify(Some(&upper), b"x").is_ok());
    let malformed = ["", "sha1", "sha1=", "sha1=00", "sha256=7d3d9c5a31e6676919d675d67901a74d99d116c3", "sha1=é"];
    for header in malformed {
        assert_eq!(secrets.verify(Some(header), b"x").err(), Some(SignatureError::Malformed), "{header}");
    }
    assert_eq!(secrets.verify(None, b"x").err(), Some(SignatureError::Missing));
}

#[test]
fn every_active_secret_verifies_and_the_first_signs() {
    let rotating = secrets(&["new", "old", "old"]);
    let with = |secret: &str| sign(&secrets(&[secret]), b"body");
    let position = |secret: &str| rotating.verify(Some(&with(secret)), b"body").map(|verified| verified.secret());
    assert_eq!((position("new"), position("old")), (Ok(0), Ok(1)));
    assert_eq!(position("other"), Err(SignatureError::Mismatch));
    assert_eq!(sign(&rotating, b"body"), with("new"));
}

#[test]
fn a_compressed_body_verifies_over_either_form() {
    let secrets = secrets(&["s"]);
    for signed in [b"wire".as_slice(), b"decoded"] {
        let verified = secrets.verify_decoded(Some(&sign(&secrets, signed)), b"wire", b"decoded").unwrap();
        assert_eq!(verified.body(), b"decoded");
    }
}

#[test]
fn secrets_are_decoded_and_never_shown() {
    let of = |secret: &str, encoding| Secrets::new(&[SecretString::from(secret)], encoding);
    let plain = of("key!", SecretEncoding::Utf8).unwrap();
    assert_eq!(sign(&of("6b657921", SecretEncoding::Hex).unwrap(), b"x"), sign(&plain, b"x"));
    assert_eq!(sign(&of("a2V5IQ==", SecretEncoding::Base64).unwrap(), b"x"), sign(&plain, b"x"));
    assert_eq!(of("zz", SecretEncoding::Hex).unwrap_err(), "secret number 1 is not of the encoding");
    assert_eq!(of("", SecretEncoding::Utf8).unwrap_err(), "secret number 1 is empty");
    assert!(!format!("{plain:?}").contains("key!"));
}

proptest! {
    #[test]
    fn no_mutated_body_verifies(body in proptest::collection::vec(any::<u8>(), 1..300), at in any::<usize>(), flip in 1u8..) {
        let secrets = secrets(&["nexus-test-secret"]);
        let signature = sign(&secrets, &body);
        let mut mutated = body.clone();
        let at = at % mutated.len();
        mutated[at] ^= flip;
        prop_assert!(secrets.verify(Some(&signature), &body).is_ok());
        prop_assert!(secrets.verify(Some(&signature), &mutated).is_err());
        prop_assert!(secrets.verify(Some(&signature), &body[..body.len() - 1]).is_err());
    }
}
