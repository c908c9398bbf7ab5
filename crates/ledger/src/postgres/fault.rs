//! What a failure means, in words of ours: PostgreSQL's own quote users, databases and values.

use std::error::Error as _;
use std::io;

use rustls::CertificateError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Other processes came first, again and again.
pub(super) const FASTER: &str = "other processes were faster";

/// What to do about a failed transaction.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection, or the server: whatever is asked next would fail as well.
    Lost(String),
    /// Another process was faster; the same again finds what it did.
    Again,
    /// One of the group cannot be done.
    Refused(String),
}

/// A statement of a transaction that had failed before: it says nothing of its own.
pub(super) fn is_echo(error: &Error) -> bool {
    error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
}

pub(super) fn is_lock_timeout(error: &Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

impl Fault {
    pub(super) fn of(error: &Error) -> Self {
        let Some(code) = error.code() else { return Self::Lost(unreached(error)) };
        if let Some(why) = unfit(error) {
            return Self::Lost(why);
        }
        if [SqlState::UNIQUE_VIOLATION, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED]
            .contains(code)
        {
            return Self::Again;
        }
        if *code == SqlState::LOCK_NOT_AVAILABLE {
            return Self::Refused("another process holds it".to_owned());
        }
        let told = words(code);
        // Connection, resources, intervention, system and internal errors, and transactions in a wrong state.
        let lost = ["08", "53", "57", "58", "XX", "F0", "25"].iter().any(|class| code.code().starts_with(class));
        if lost { Self::Lost(told) } else { Self::Refused(told) }
    }
}

/// What no second try mends, in words that say what to do.
pub(super) fn unfit(error: &Error) -> Option<String> {
    let Some(code) = error.code() else { return untrusted(error).map(str::to_owned) };
    let told = match code.code() {
        "28P01" | "28000" => "it refuses the user or the password of ledger.url, or this host",
        "3D000" => "the database that ledger.url names does not exist; make it",
        "42501" => "its user may not do this; give it the rights, or run `causeway ledger migrate` as one who has them",
        "42P01" | "42703" | "3F000" => {
            "its tables are not there or not ours; put the ledger back, an empty one would forget what was sent"
        }
        _ => return None,
    };
    Some(format!("{told} ({})", code.code()))
}

fn words(code: &SqlState) -> String {
    let told = match code.code() {
        "53300" => "it has no connection left",
        "57P01" | "57P02" => "it is being stopped",
        "57P03" => "it is starting or recovering",
        "57014" => "it did not do it in time",
        "25006" => "it is a standby that takes no writes",
        "53100" => "its disk is full",
        _ => "it could not do it",
    };
    format!("{told} ({})", code.code())
}

/// Why it was not reached, or is no longer.
fn unreached(error: &Error) -> String {
    if let Some(told) = untrusted(error) {
        return told.to_owned();
    }
    if error.is_closed() {
        return "it closed the connection".to_owned();
    }
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) else {
        return "it cannot be reached".to_owned();
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "it refuses connections".to_owned(),
        io::ErrorKind::TimedOut => "it cannot be reached in time".to_owned(),
        kind => format!("it cannot be reached ({kind})"),
    }
}

/// What TLS has against the server.
fn untrusted(error: &Error) -> Option<&'static str> {
    let source = error.source()?;
    let Some(io) = source.downcast_ref::<io::Error>() else {
        // The library names this by its text alone.
        let plain = source.to_string() == "server does not support TLS";
        return plain.then_some("it speaks no TLS, and ledger.url demands it (sslmode)");
    };
    match io.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("its certificate is signed by nobody known here; name its authority in ledger.tls.ca_file")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some("its certificate is of another name than the host in ledger.url"),
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Some("its certificate has expired")
        }
        rustls::Error::InvalidCertificate(_) => Some("its certificate cannot be used"),
        _ => Some("the TLS handshake with it failed"),
    }
}

/// What happened, for whoever has to wait.
pub(super) fn words_of(error: &Error) -> String {
    match Fault::of(error) {
        Fault::Lost(why) | Fault::Refused(why) => why,
        Fault::Again => FASTER.to_owned(),
    }
}
