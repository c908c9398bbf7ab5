use model::SessionId;
use sha2::{Digest, Sha256};

use super::fields::digits;

/// The session of a conversation that has none yet: derived from (our number, remote), so that every attempt and replica
/// finds the same one, and reusing it threads the conversation. 40 characters of `[a-z0-9]`, and a letter first, because an
/// id that looks like a number comes back as one (section 3.1, 1.1).
pub fn derive_session(our_number: &str, remote: &str) -> SessionId {
    let mut hash = Sha256::new();
    hash.update(named(our_number));
    hash.update(b"/");
    hash.update(named(remote));
    SessionId::new(format!("m{}", &hex::encode(hash.finalize())[..39]))
}

/// Numbers are one however they are written; a name has letters, and is told from others by all of them.
fn named(one: &str) -> String {
    if one.chars().any(char::is_alphabetic) { one.to_owned() } else { digits(one) }
}

/// The longest id that is passed on; servers document no bound.
const LIMIT: usize = 255;

/// A session id that came from outside, where it can stand in a path.
pub(super) fn usable(session: &SessionId) -> bool {
    let id = session.as_str();
    !id.is_empty() && id.len() <= LIMIT && !id.chars().any(char::is_control) && id != "." && id != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_session_is_stable_and_never_a_number() {
        let session = derive_session("13125550100", "+1 312 555 0142");
        assert_eq!(session, derive_session("+1 312 555 0100", "13125550142"));
        assert_ne!(session, derive_session("13125550142", "13125550100"));
        assert_eq!(
            session.as_str(),
            "mfe5eb2905565be06136bd7d73715776b4c6a809",
            "conversations go on in the sessions they have"
        );
        let (alice, bob) = (derive_session("reception", "alice"), derive_session("reception", "bob"));
        assert!(alice != bob && alice != derive_session("sales", "alice"));
        assert_ne!(derive_session("100", "alice1"), derive_session("100", "bob1"));
        assert_eq!(session.as_str().len(), 40);
        assert!(session.as_str().starts_with('m') && session.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
