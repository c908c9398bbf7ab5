//! The address where the company's mail server hands us mail.

use std::time::Duration;

use email::listen::SmtpLimits;
use ipnet::IpNet;

use super::settings::Listen;
use crate::config::section::Section;
use crate::config::{Tls, load, net};

/// A company's own networks, and this machine.
const OWN: &[&str] = &["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// `None` is no listener, or a problem that was told.
pub(super) fn read(section: &Section<'_>) -> Option<Listen> {
    let address = section.has("listen").then(|| load::address(section, "listen", "0.0.0.0:2525"));
    let allow = allow(section);
    let tls = net::tls(section);
    let require_tls = section.boolean("require_tls", false);
    let limits = limits(section);
    if require_tls && !section.has("tls") {
        section.problem(
            "require_tls",
            "is true, and there is no certificate",
            "tls = { cert_file, key_file } beside it",
        );
    }
    if address.is_none() {
        for key in ["allow", "tls", "require_tls", "limits"].into_iter().filter(|key| section.has(key)) {
            section.problem(key, "belongs to a listener, and there is none", "listen = \"0.0.0.0:2525\" beside it");
        }
    }
    let tls: Option<Option<Tls>> = tls;
    Some(Listen { address: address?, allow: allow?, tls: tls?, require_tls, limits })
}

fn allow(section: &Section<'_>) -> Option<Vec<IpNet>> {
    let given = if section.has("allow") { section.strings("allow") } else { section.strings_or("allow", OWN) };
    if given.is_empty() {
        section.problem("allow", "is empty, so nobody could send", "[\"10.0.0.0/8\"], the hosts of your mail servers");
        return None;
    }
    let read: Option<Vec<IpNet>> = given.iter().map(|one| network(one)).collect();
    if read.is_none() {
        section.problem("allow", "holds what is no network", "[\"10.0.0.0/8\", \"192.0.2.7\"]");
    }
    read
}

/// A network, or one host.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|host: std::net::IpAddr| IpNet::from(host)))
}

fn limits(provider: &Section<'_>) -> SmtpLimits {
    let section = provider.section("limits");
    let count = |key: &str, default: u64, most: u64| {
        usize::try_from(section.integer(key, default, 1..=most)).unwrap_or(usize::MAX)
    };
    let time = |key: &str, default: &str| section.duration(key, default).max(Duration::from_secs(1));
    let usual = SmtpLimits::default();
    let limits = SmtpLimits {
        connections: count("connections", 1000, 100_000),
        mail_bytes: section.size("mail_size", "25 MiB"),
        recipients: count("recipients", 100, 10_000),
        mails: count("mails", 1000, 1_000_000),
        mistakes: count("mistakes", 20, 1000),
        command: time("command_timeout", "5m"),
        mail: time("mail_timeout", "10m"),
        store: time("store_timeout", "30s"),
        ..usual
    };
    section.finish();
    limits
}
