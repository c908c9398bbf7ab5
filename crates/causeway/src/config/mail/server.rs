//! Servers that are logged into, by URL.

use std::time::Duration;

use email::{LoginKind, Security};
use model::Private;

use super::settings::{Imap, MailLogin, MailSecret, Server, Smtp};
use crate::config::section::Section;

/// What a protocol's URLs look like.
struct Protocol {
    plain: &'static str,
    tls: &'static str,
    /// With TLS from the first byte, and without.
    ports: (u16, u16),
    example: &'static str,
}

const SMTP: Protocol = Protocol {
    plain: "smtp://",
    tls: "smtps://",
    ports: (465, 587),
    example: "\"smtps://user@mail.example.com\", or \"smtp://…:587\" for STARTTLS",
};
const IMAP: Protocol = Protocol {
    plain: "imap://",
    tls: "imaps://",
    ports: (993, 143),
    example: "\"imaps://user@mail.example.com\", or \"imap://…:143\" for STARTTLS",
};

/// RFC 2177 has a client say IDLE again before half an hour is over.
const LONGEST: Duration = Duration::from_secs(29 * 60);
/// The longest an answer to a mail is waited for.
const ANSWER: Duration = Duration::from_secs(600);

pub(super) fn smtp(provider: &Section<'_>) -> Option<Smtp> {
    let section = provider.section("smtp");
    let server = server(&section, &SMTP, false);
    let connections = section.integer("connections", 10, 1..=1000);
    let idle = section.duration("idle", "30s");
    let answer_timeout = section.duration("answer_timeout", "5m");
    // What it takes in all stays below the half hour after which RabbitMQ takes a message away.
    if answer_timeout.is_zero() || answer_timeout > ANSWER {
        section.problem("answer_timeout", "is none, or longer than ten minutes", "between \"1s\" and \"10m\"");
    }
    section.finish();
    let connections = usize::try_from(connections).unwrap_or(usize::MAX);
    Some(Smtp { server: server?, connections, idle, answer_timeout })
}

pub(super) fn imap(provider: &Section<'_>) -> Option<Imap> {
    let section = provider.section("imap");
    let server = server(&section, &IMAP, true);
    let mailboxes = section.strings_or("mailboxes", &["INBOX"]);
    if mailboxes.iter().any(|name| name.is_empty() || name.chars().any(char::is_control)) {
        section.problem("mailboxes", "holds what is no name of a mailbox", "[\"INBOX\"]");
    }
    let every = section.duration("every", "2m");
    if every.is_zero() || every > LONGEST {
        section.problem(
            "every",
            "is no time, or longer than a server keeps a silent connection",
            "1s to 29m, such as \"2m\"",
        );
    }
    let command_timeout = section.duration("command_timeout", "60s");
    let mail_limit = section.size("mail_limit", "25 MiB");
    section.finish();
    Some(Imap { server: server?, mailboxes, every, command_timeout, mail_limit })
}

fn server(section: &Section<'_>, protocol: &Protocol, needs_login: bool) -> Option<Server> {
    let url = section.required("url", protocol.example);
    let place = url.and_then(|url| {
        let place = place(&url, protocol);
        if place.is_none() {
            section.problem("url", "is no URL of a mail server, without a password and a path", protocol.example);
        }
        place
    });
    let plain = section.word_or("tls", "required", &[("required", false), ("none", true)]);
    let connect_timeout = section.duration("connect_timeout", "15s");
    let user = section.string("user").or_else(|| place.as_ref().and_then(|place| place.user.clone()));
    let login = login(section, user);
    let place = place?;
    if needs_login && matches!(login, Some(None)) {
        section.problem("url", "names no user, and a mailbox belongs to one", protocol.example);
        return None;
    }
    let security = match (place.tls, plain) {
        (true, true) => {
            section.problem("tls", "is \"none\", and the URL says TLS from the first byte", "one of the two");
            return None;
        }
        (true, false) => Security::Tls,
        (false, false) => Security::StartTls,
        (false, true) => Security::Plain,
    };
    let here = matches!(place.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    if security == Security::Plain && !here && !matches!(login, Some(None)) {
        section.problem("tls", "is \"none\", so the password would cross a network in the clear", "tls = \"required\"");
        return None;
    }
    Some(Server { host: place.host, port: place.port, security, login: login?, connect_timeout })
}

/// `None` is a problem that was told; `Some(None)` is no login.
fn login(section: &Section<'_>, user: Option<String>) -> Option<Option<MailLogin>> {
    let password = secret(section, "password", LoginKind::Password);
    let token = secret(section, "token", LoginKind::Token);
    match (user, password, token) {
        (_, Some(_), Some(_)) => {
            section.problem("token", "is given beside a password", "one of the two: token_file is for XOAUTH2");
            None
        }
        (Some(user), Some(secret), None) | (Some(user), None, Some(secret)) => {
            let (kind, secret) = secret?;
            Some(Some(MailLogin { user: Private::new(user), kind, secret }))
        }
        (Some(_), None, None) => {
            let instead = "password_file = \"/run/secrets/…\", or token_file for XOAUTH2";
            section.problem("password_file", "is missing, and the URL names a user", instead);
            None
        }
        (None, None, None) => Some(None),
        (None, _, _) => {
            section.problem("user", "is missing: there is a secret, and nobody it belongs to", "user = \"…\"");
            None
        }
    }
}

/// `Some(None)` is a secret that cannot be used, which was told.
fn secret(section: &Section<'_>, key: &str, kind: LoginKind) -> Option<Option<(LoginKind, MailSecret)>> {
    let file_key = format!("{key}_file");
    let given = section.secret(key);
    if !section.has(key) && !section.has(&file_key) {
        return None;
    }
    let file = section.path(&file_key);
    Some(given.map(|given| (kind, file.map_or(MailSecret::Given(given), MailSecret::File))))
}

struct Place {
    tls: bool,
    user: Option<String>,
    host: String,
    port: u16,
}

fn place(url: &str, protocol: &Protocol) -> Option<Place> {
    let (tls, rest) = match (url.strip_prefix(protocol.tls), url.strip_prefix(protocol.plain)) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return None,
    };
    let rest = rest.trim_end_matches('/');
    // A user is an address most often, and few write its @ as %40.
    let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
    let user = match user {
        Some(user) if user.is_empty() || user.contains([':', '/', '?', '#', ' ']) => return None,
        Some(user) => Some(user.replace("%40", "@")),
        None => None,
    };
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').map(str::parse))
        }
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port.parse()))),
    };
    let default = if tls { protocol.ports.0 } else { protocol.ports.1 };
    let port: u16 = port.transpose().ok()?.unwrap_or(default);
    let usable = !host.is_empty() && !host.contains(['/', '?', '#', ' ']) && port != 0;
    usable.then(|| Place { tls, user, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<(bool, Option<String>, String, u16)> {
        place(url, &SMTP).map(|place| (place.tls, place.user, place.host, place.port))
    }

    #[test]
    fn servers_are_named_by_url() {
        let user = |user: &str| Some(user.to_owned());
        assert_eq!(
            read("smtps://user@mail.example.com"),
            Some((true, user("user"), "mail.example.com".to_owned(), 465))
        );
        assert_eq!(read("smtp://mail.example.com:25/"), Some((false, None, "mail.example.com".to_owned(), 25)));
        assert_eq!(read("smtp://help@company.com@mx"), Some((false, user("help@company.com"), "mx".to_owned(), 587)));
        assert_eq!(
            read("smtp://help%40company.com@[::1]:2525"),
            Some((false, user("help@company.com"), "::1".to_owned(), 2525))
        );
        for bad in [
            "mail.example.com",
            "smtp://",
            "smtp://user:password@host",
            "smtp://@host",
            "smtp://host/path",
            "smtp://host:0",
            "imap://host",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
