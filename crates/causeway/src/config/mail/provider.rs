//! The table of a mail provider.

use std::path::PathBuf;

use email::outgoing::DkimKey;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::settings::{Dkim, EmailProvider, ListUnsubscribe};
use super::{listen, server};
use crate::config::section::Section;
use crate::config::{
    Channel, ChannelKind, DeliveredWhen, Http, LedgerSettings, Provider, ProviderKind, net, pull, units,
};

pub(in crate::config) fn read(section: &Section<'_>) -> Option<EmailProvider> {
    let smtp = section.has("smtp").then(|| server::smtp(section));
    let imap = section.has("imap").then(|| server::imap(section));
    let listen = listen::read(section);
    let bounce_address = bounce_address(section, smtp.is_some());
    let dkim = section.has("dkim").then(|| dkim(section));
    let delivered_when = delivered_when(section);
    if smtp.is_none() && imap.is_none() && !section.has("listen") {
        section.problem(
            "smtp",
            "is missing, and so are listen and imap: no mail goes out or comes in",
            "smtp = { url = \"smtps://…\" }",
        );
    }
    if smtp.is_some() && bounce_address.is_some() && imap.is_none() && !section.has("listen") {
        section.warn(
            "bounce_address",
            "reaches nobody: there is neither listen nor imap, so no agent is told of a mail that comes back",
        );
    }
    let domains = section.strings("domains").iter().map(|domain| domain.trim().to_lowercase()).collect::<Vec<_>>();
    if domains.iter().any(|domain| domain.is_empty() || domain.contains(['@', ' ', '/'])) {
        section.problem("domains", "holds what is no domain", "[\"company.com\"]");
    }
    let hello = section.string("hello").unwrap_or_default();
    if section.has("hello") && !is_host(&hello) {
        section.problem("hello", "is no host name", "the name this host has in DNS, such as \"bridge.company.com\"");
    }
    let max_per_sender = section.integer("max_per_sender", 20, 0..=1_000_000);
    let max_inbound_age = section.has("max_inbound_age").then(|| section.duration("max_inbound_age", "3d"));
    let catch_up_from: Option<Timestamp> = pull::catch_up_from(section);
    let spool = section.parsed("spool", "data/spool", "the path of a folder", |text| Some(PathBuf::from(text)));
    let ca_files =
        section.strings("ca_files").iter().map(|path| net::certificates(section, "ca_files", path)).collect();
    Some(EmailProvider {
        smtp: smtp.map_or(Some(None), |smtp| smtp.map(Some))?,
        imap: imap.map_or(Some(None), |imap| imap.map(Some))?,
        listen,
        domains,
        hello,
        bounce_address,
        delivered_when: delivered_when?,
        dkim: dkim.map_or(Some(None), |dkim| dkim.map(Some))?,
        max_per_sender: u32::try_from(max_per_sender).ok().filter(|most| *most > 0),
        max_inbound_age,
        catch_up_from,
        spool,
        ca_files,
    })
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

fn bounce_address(section: &Section<'_>, sends: bool) -> Option<String> {
    let instead = "an address that reaches listen or imap, such as \"bounces@company.com\"";
    let found = section.string("bounce_address");
    match &found {
        None if sends => section.problem("bounce_address", "is missing: bounces would go to nobody", instead),
        Some(address) => {
            let parts = address.rsplit_once('@');
            let usable = parts.is_some_and(|(local, domain)| {
                // A token of 25 bytes comes behind its plus, and a local part has 64 at most.
                !local.is_empty() && local.len() < 39 && !local.contains(['+', '@', ' ', '<', '>']) && is_host(domain)
            });
            if !usable {
                section.problem("bounce_address", "is no mail address that a token can be added to", instead);
            }
        }
        None => {}
    }
    found
}

fn delivered_when(section: &Section<'_>) -> Option<DeliveredWhen> {
    let words = [("accepted", DeliveredWhen::Accepted), ("dsn", DeliveredWhen::Dsn), ("never", DeliveredWhen::Never)];
    if !section.has("delivered_when") {
        let told = "is missing: \"accepted\" tells the agent Delivered as soon as the mail server took the mail, \"dsn\" when a \
                    delivery status notification says so, and \"never\" nothing";
        section.problem("delivered_when", told, "\"accepted\", \"dsn\" or \"never\"");
    }
    let found = section.word("delivered_when", &words);
    if found == Some(DeliveredWhen::Dsn) && !section.has("listen") && !section.has("imap") {
        let told = "is \"dsn\", and there is no way in for notifications";
        section.problem("delivered_when", told, "listen or imap beside it, or \"accepted\"");
    }
    found
}

fn dkim(provider: &Section<'_>) -> Option<Dkim> {
    let section = provider.section("dkim");
    let selector = section.required("selector", "the name of the key in DNS, such as \"causeway1\"");
    let domain = section.string("domain").map(|domain| domain.to_lowercase());
    let key = section.required_secret("key");
    section.finish();
    let (selector, key) = (selector?, key?);
    if provider.shared.read_secrets {
        let any = domain.as_deref().unwrap_or("company.com");
        if let Err(error) = DkimKey::read(any, &selector, key.expose_secret().as_bytes()) {
            section_problem(provider, error);
            return None;
        }
    }
    Some(Dkim { selector, domain, key })
}

fn section_problem(provider: &Section<'_>, error: email::outgoing::DkimKeyError) {
    provider.problem(
        "dkim",
        format!("cannot sign: {error}"),
        "what `openssl genrsa 2048` or `openssl genpkey -algorithm ed25519` makes",
    );
}

/// What follows from the other tables, and what must hold between them.
pub(in crate::config) fn settle(
    root: &Section<'_>,
    http: Option<&Http>,
    ledger: Option<&LedgerSettings>,
    providers: &mut [Option<Provider>],
    channels: &[Option<Channel>],
    signs: bool,
) {
    let public_url = http.and_then(|http| http.public_url.as_deref());
    for (index, provider) in providers.iter_mut().enumerate() {
        let Some(provider) = provider else { continue };
        let ProviderKind::Email(settings) = &mut provider.kind else { continue };
        let own: Vec<&Channel> =
            channels.iter().flatten().filter(|channel| channel.provider == provider.name).collect();
        let key = |key: &str| format!("provider \"{}\".{key}", provider.name);
        let ids: Vec<String> = own.iter().map(|channel| channel.id.as_str().to_lowercase()).collect();
        if settings.domains.is_empty() {
            settings.domains.clone_from(&ids);
            root.record(&format!("provider.{index}.domains"), ids.clone());
        } else if own.len() > 1 && settings.domains.iter().any(|domain| !ids.contains(domain)) {
            let told = "holds a domain that is the id of none of its channels, and there are several";
            root.problem(&key("domains"), told, "the ids of its channels; or leave it out");
        }
        if settings.hello.is_empty() {
            settings.hello = hello(public_url, settings.bounce_address.as_deref());
            root.record(&format!("provider.{index}.hello"), settings.hello.as_str());
        }
        let age = pull::age(root, &key("max_inbound_age"), settings.max_inbound_age, ledger);
        settings.max_inbound_age = Some(age);
        root.record(&format!("provider.{index}.max_inbound_age"), units::written(age));
        let leaves = |channel: &&&Channel| matches!(&channel.kind, ChannelKind::Email(kind) if kind.list_unsubscribe != ListUnsubscribe::Off);
        if let Some(channel) = own.iter().find(leaves).filter(|_| !signs) {
            let told = "needs a key that signs it, which is made up only where the broker is embedded";
            let key = format!("channel \"{}\".list_unsubscribe", channel.name);
            root.problem(&key, told, "signing_key_files = [\"/run/secrets/…\"] under [blobs]");
        }
        let by_url = |channel: &&&Channel| matches!(&channel.kind, ChannelKind::Email(kind) if kind.list_unsubscribe == ListUnsubscribe::Url);
        if let Some(channel) = own.iter().find(by_url)
            && http.is_some()
            && !public_url.is_some_and(|url| url.starts_with("https://"))
        {
            root.problem(
                &format!("channel \"{}\".list_unsubscribe", channel.name),
                "is \"url\", and http.public_url is no https URL",
                "public_url = \"https://…\" under [http], or \"mailto\"",
            );
        }
    }
}

/// The name we have in DNS, as far as the configuration tells.
fn hello(public_url: Option<&str>, bounce_address: Option<&str>) -> String {
    let host = public_url.and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
    let host = host.and_then(|rest| rest.split(['/', ':']).next()).filter(|host| is_host(host));
    let domain = bounce_address.and_then(|address| address.rsplit_once('@')).map(|(_, domain)| domain);
    host.or(domain).unwrap_or("localhost").to_owned()
}
