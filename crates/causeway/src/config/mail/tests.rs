use std::time::Duration;

use email::Security;

use super::*;
use crate::config::{ChannelKind, DeliveredWhen, Loaded, Problems, ProviderKind, Source, WhenUnsure, load};

const MAIL: &str = r#"
[[genesys]]
name = "main"
base_url = "https://nexus.example.com/nexus/v3"
ccid = "c"
api_key = "k3y"
[[provider]]
name = "mail"
kind = "email"
smtp = { url = "smtps://user@mail.example.com", password = "pa55" }
listen = "0.0.0.0:2525"
bounce_address = "bounces@company.com"
delivered_when = "accepted"
[[channel]]
id = "Company.com"
kind = "email"
secrets = ["s3cret-material"]
"#;

fn read(text: &str) -> Result<Loaded, Problems> {
    load(&Source { file: "c.toml", text, environment: Vec::new() }, false)
}

fn provider(text: &str) -> EmailProvider {
    let loaded = read(text).unwrap_or_else(|problems| panic!("{problems}"));
    let ProviderKind::Email(provider) = &loaded.config.providers[0].kind else { panic!("it is mail") };
    EmailProvider::clone(provider)
}

#[test]
fn little_is_needed_for_mail() {
    let provider = provider(MAIL);
    let smtp = provider.smtp.unwrap();
    assert_eq!(
        (smtp.server.host.as_str(), smtp.server.port, smtp.server.security),
        ("mail.example.com", 465, Security::Tls)
    );
    assert_eq!(smtp.server.login.unwrap().user.expose(), "user");
    let listen = provider.listen.unwrap();
    assert!(listen.allow.iter().any(|net| net.contains(&"10.1.2.3".parse::<std::net::IpAddr>().unwrap())));
    assert!(!listen.allow.iter().any(|net| net.contains(&"192.0.2.1".parse::<std::net::IpAddr>().unwrap())));
    assert_eq!(provider.domains, ["company.com"], "the ids of its channels");
    assert_eq!((provider.hello.as_str(), provider.max_per_sender), ("company.com", Some(20)));
    assert_eq!(provider.max_inbound_age, Some(Duration::from_secs(3 * 86_400)));
    assert_eq!(provider.delivered_when, DeliveredWhen::Accepted);
    let loaded = read(MAIL).unwrap();
    let channel = &loaded.config.channels[0];
    assert_eq!((&channel.inbound, channel.policy.when_unsure), (&Inbound::Messages, WhenUnsure::Resend));
    let ChannelKind::Email(kind) = &channel.kind else { panic!("it is mail") };
    assert_eq!((kind.email_as, kind.list_unsubscribe), (EmailAs::Email, ListUnsubscribe::Off));
    assert!(!loaded.shown.contains("pa55"), "{}", loaded.shown);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let shown: toml::Table = toml::from_str(&loaded.shown).unwrap();
    let [provider, channel] = ["provider", "channel"].map(|array| shown[array][0].clone());
    for (table, key, expected) in [
        (&provider["smtp"], "tls", "required"),
        (&provider, "hello", "company.com"),
        (&provider, "max_inbound_age", "72h"),
        (&channel, "when_unsure", "resend"),
        (&channel, "inbound", "messages"),
        (&channel, "email_as", "email"),
        (&channel, "list_unsubscribe", "off"),
    ] {
        assert_eq!(table.get(key).and_then(toml::Value::as_str), Some(expected), "{key} in:\n{}", loaded.shown);
    }
    assert_eq!(provider["domains"][0].as_str(), Some("company.com"));
    assert!(provider["allow"].as_array().is_some_and(|allow| allow.len() > 1));
}

#[test]
fn all_of_it_is_read() {
    let more = r#"
imap = { url = "imap://help@company.com@imap.example.com", token_file = "/run/secrets/imap", mailboxes = ["INBOX", "Help"], every = "1m" }
allow = ["192.0.2.7", "2001:db8::/32"]
tls = { cert_file = "c.pem", key_file = "k.pem" }
require_tls = true
limits = { connections = 10, mail_size = "1 MiB" }
domains = ["company.com"]
hello = "bridge.company.com"
dkim = { selector = "s1", key_file = "/run/secrets/dkim" }
max_per_sender = 0
[[channel]]"#;
    let text = MAIL.replacen("[[channel]]", more, 1).replace("secrets =", "reply_token = true\nemail_as = \"text\"\nlist_unsubscribe = \"mailto\"\nwhen_unsure = \"park\"\ninbound = \"open-media\"\nopen_media_service = \"email-in\"\nopen_media_idle = \"1h\"\nsecrets =");
    let found = provider(&text);
    let imap = found.imap.unwrap();
    assert_eq!((imap.server.port, imap.server.security, imap.mailboxes.len()), (143, Security::StartTls, 2));
    assert!(matches!(imap.server.login.unwrap().secret, MailSecret::File(_)), "read again for each connection");
    let listen = found.listen.unwrap();
    assert!(listen.require_tls && listen.tls.is_some() && listen.allow.len() == 2);
    assert_eq!((listen.limits.connections, listen.limits.mail_bytes), (10, 1 << 20));
    assert_eq!((found.hello.as_str(), found.max_per_sender), ("bridge.company.com", None));
    assert_eq!(found.dkim.unwrap().selector, "s1");
    let channel = &read(&text).unwrap().config.channels[0];
    let idle = Some(Duration::from_secs(3600));
    assert_eq!(channel.inbound, Inbound::OpenMedia { service: "email-in".to_owned(), idle });
}

#[test]
fn what_cannot_work_is_told() {
    for (from, to, expected) in [
        ("bounce_address = \"bounces@company.com\"", "", "bounce_address: is missing: bounces would go to nobody"),
        (
            "bounces@company.com",
            "bounces+x@company.com",
            "bounce_address: is no mail address that a token can be added to",
        ),
        ("\"accepted\"", "\"later\"", "delivered_when: is none of the words it may be"),
        ("delivered_when = \"accepted\"", "", "delivered_when: is missing: \"accepted\" tells the agent"),
        ("smtps://user@mail", "https://mail", "smtp.url: is no URL of a mail server"),
        ("smtps://user@", "smtps://user:pa55@", "smtp.url: is no URL of a mail server, without a password"),
        ("smtps://user@", "smtps://", "smtp.user: is missing: there is a secret"),
        (", password = \"pa55\"", "", "smtp.password_file: is missing"),
        ("password = \"pa55\"", "password = \"pa55\", token = \"t\"", "smtp.token: is given beside a password"),
        ("password = \"pa55\"", "password = \"pa55\", tls = \"none\"", "smtp.tls: is \"none\", and the URL says TLS"),
        (
            "smtps://user@",
            "smtp://user@mail.example.com\", tls = \"none\", user = \"",
            "smtp.tls: is \"none\", so the password",
        ),
        ("listen = \"0.0.0.0:2525\"", "allow = [\"10.0.0.0/8\"]", "allow: belongs to a listener, and there is none"),
        ("listen = ", "allow = [\"x\"]\nlisten = ", "allow: holds what is no network"),
        ("listen = ", "require_tls = true\nlisten = ", "require_tls: is true, and there is no certificate"),
        (
            "listen = \"0.0.0.0:2525\"\nbounce_address = \"bounces@company.com\"\ndelivered_when = \"accepted\"",
            "bounce_address = \"bounces@company.com\"\ndelivered_when = \"dsn\"",
            "delivered_when: is \"dsn\", and there is no way in",
        ),
        (
            "secrets =",
            "list_unsubscribe = \"url\"\nsecrets =",
            "channel \"Company.com\".list_unsubscribe: is \"url\", and http.public_url",
        ),
        ("secrets =", "inbound = \"open-media\"\nsecrets =", "open_media_service: is missing"),
        ("secrets =", "open_media_idle = \"1h\"\nsecrets =", "open_media_idle: belongs to inbound = \"open-media\""),
        ("listen = ", "max_inbound_age = \"40d\"\nlisten = ", "max_inbound_age: must be shorter than ledger.retain"),
        ("listen = ", "imap = { url = \"imaps://mail.example.com\" }\nlisten = ", "imap.url: names no user"),
        ("listen = ", "imap = { url = \"imaps://a@b\", every = \"0s\" }\nlisten = ", "imap.every: is no time"),
        ("listen = ", "imap = { url = \"imaps://a@b\", every = \"30m\" }\nlisten = ", "imap.every: is no time"),
    ] {
        let text = MAIL.replacen(from, to, 1);
        assert_ne!(text, MAIL, "{from}");
        let told = read(&text).map(|_| ()).expect_err(expected).to_string();
        assert!(told.contains(expected), "missing: {expected}\nin:\n{told}");
    }
}

#[test]
fn bounces_that_reach_nobody_are_warned_of() {
    let deaf = MAIL.replacen("listen = \"0.0.0.0:2525\"\n", "", 1);
    let warnings = read(&deaf).unwrap_or_else(|problems| panic!("{problems}")).warnings;
    assert!(warnings.iter().any(|warning| warning.contains("bounce_address: reaches nobody")), "{warnings:?}");
}

#[test]
fn several_channels_share_a_provider_by_their_domains() {
    let second = "[[channel]]\nid = \"other.example\"\nkind = \"email\"\nsecrets = [\"x\"]\n";
    assert_eq!(provider(&format!("{MAIL}{second}")).domains, ["company.com", "other.example"]);
    let told = read(&format!("{}{second}", MAIL.replace("listen =", "domains = [\"third.example\"]\nlisten =")));
    let told = told.map(|_| ()).expect_err("a domain without a channel").to_string();
    assert!(told.contains("provider \"mail\".domains: holds a domain that is the id of none"), "{told}");
}
