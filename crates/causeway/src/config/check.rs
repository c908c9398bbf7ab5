//! The tables that name neighbours and channels, and what must hold between them.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::Pace;
use genesys::{BodyWrapper, MediaSignature, SecretEncoding, Secrets};
use model::{ChannelId, ChannelName, Country, NeighbourName};
use secrecy::SecretString;

use super::consent::{consent, switch};
use super::mail::Inbound;
use super::net::base_url;
use super::section::Section;
use super::settings::{
    Auth, Channel, ChannelKind, DeliveredWhen, Genesys, Login, NetSapiensProvider, Provider, ProviderKind, ReplyPolicy,
    WhenUnsure,
};
use super::texts::texts;
use super::units::parse_duration;
use super::{inbound, mail, media, pull, quiet};

fn neighbour_name(section: &Section<'_>) -> Option<NeighbourName> {
    let name = section.required("name", "a short name, such as \"main\"")?;
    match NeighbourName::parse(&name) {
        // Queue names are dotted, and a dot here would make two names of one queue possible.
        Ok(_) if name.contains('.') => {
            section.problem("name", "must not hold a dot: it is a part of queue names", "a name without dots");
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            section.problem("name", error.to_string(), "a short name, such as \"main\"");
            None
        }
    }
}

pub(super) fn genesys(section: Section<'_>) -> Option<Genesys> {
    let name = neighbour_name(&section);
    let base_url = base_url(&section, "base_url", true);
    if base_url.as_ref().is_some_and(|url| !url.ends_with("/nexus/v3")) {
        section.warn("base_url", "does not end in /nexus/v3, as every documented base path does");
    }
    let ccid = section.required("ccid", "the contact centre id Genesys gave you");
    let api_key = section.secret("api_key");
    let send_api_key = section.boolean("send_api_key", false);
    if send_api_key && api_key.is_none() {
        section.problem("send_api_key", "is true, and there is no api_key", "api_key_file = \"…\" beside it");
    }
    let send_message_id = section.boolean("send_message_id", true);
    let words = [
        ("whole_body", MediaSignature::WholeBody),
        ("file_bytes", MediaSignature::FileBytes),
        ("empty", MediaSignature::Empty),
    ];
    let media_signature = section.word_or("media_signature", "whole_body", &words);
    let words = [("data", BodyWrapper::Data), ("bare", BodyWrapper::Bare)];
    let open_media_body = section.word_or("open_media_body", "data", &words);
    let pace = pace(&section);
    section.finish();
    Some(Genesys {
        name: name?,
        base_url: base_url?,
        ccid: ccid?,
        api_key,
        send_api_key,
        send_message_id,
        media_signature,
        open_media_body,
        pace,
    })
}

pub(super) fn provider(section: Section<'_>) -> Option<Provider> {
    let name = neighbour_name(&section);
    let kind = match section.required("kind", "\"netsapiens\" or \"email\"")?.as_str() {
        "netsapiens" => netsapiens(&section).map(|account| ProviderKind::NetSapiens(Box::new(account))),
        "email" => mail::read(&section).map(|account| ProviderKind::Email(Box::new(account))),
        _ => {
            section.problem("kind", "is no kind of provider this version knows", "\"netsapiens\" or \"email\"");
            return None;
        }
    };
    let pace = pace(&section);
    let consent = switch(&section, true);
    section.finish();
    Some(Provider { name: name?, kind: kind?, pace, consent })
}

fn pace(section: &Section<'_>) -> Option<Pace> {
    let text = section.string("pace")?;
    let pace = Pace::parse(&text);
    if pace.is_none() {
        section.problem(
            "pace",
            "is no pace",
            "a whole number of calls in a time, such as \"10/s\", \"600/m\" or \"1000/h\"",
        );
    }
    pace
}

fn netsapiens(section: &Section<'_>) -> Option<NetSapiensProvider> {
    let base_url = base_url(section, "base_url", true);
    let domain = section.required("domain", "the NetSapiens domain of the account");
    let auth = auth(section);
    let webhook_secrets = section.secrets("webhook_secret");
    if webhook_secrets.is_empty() {
        section.problem(
            "webhook_secret_files",
            "is missing: events carry no signature, so the secret is in their URL",
            "[\"/run/secrets/…\"]",
        );
    }
    let time_zone = section.parsed("time_zone", "UTC", "an IANA zone such as \"UTC\" or \"America/Chicago\"", |name| {
        jiff::tz::TimeZone::get(name).ok()
    });
    if !section.has("delivered_when") {
        let told = "is missing: NetSapiens has no delivery reports, so \"accepted\" tells the agent Delivered as soon as \
                    the platform took the message, and \"never\" tells the agent nothing and counts it as unconfirmed";
        section.problem("delivered_when", told, "\"accepted\" or \"never\"");
    }
    let words = [("accepted", DeliveredWhen::Accepted), ("never", DeliveredWhen::Never)];
    let delivered_when = section.word("delivered_when", &words);
    let reconcile_at = reconcile(section);
    let media_hosts = media_hosts(section);
    let pull = Box::new(pull::read(section));
    Some(NetSapiensProvider {
        base_url: base_url?,
        domain: domain?,
        auth: auth?,
        webhook_secrets,
        time_zone,
        delivered_when: delivered_when?,
        reconcile_at,
        media_hosts,
        pull,
    })
}

fn media_hosts(section: &Section<'_>) -> Vec<String> {
    let hosts = section.strings("media_hosts");
    if hosts.iter().any(|host| host.is_empty() || host.contains(['/', ':', '@', '?', ' '])) {
        section.problem("media_hosts", "holds what is no bare host", "[\"core2.example.com\", \".media.example.com\"]");
    }
    hosts
}

fn auth(section: &Section<'_>) -> Option<Auth> {
    let auth = section.section("auth");
    let instead = "auth = { kind = \"api-key\", key_file = \"/run/secrets/…\" }";
    let found = match auth.required("kind", instead)?.as_str() {
        "api-key" => {
            let others = ["client_id", "client_secret", "client_secret_file", "username", "password", "password_file"];
            auth.without_effect(&others, "kind = \"api-key\"");
            auth.required_secret("key").map(Auth::ApiKey)
        }
        kind @ ("oauth" | "jwt") => {
            auth.without_effect(&["key", "key_file"], &format!("kind = \"{kind}\""));
            login(&auth).map(if kind == "jwt" { Auth::Jwt } else { Auth::OAuth })
        }
        _ => {
            auth.problem("kind", "is no way to log in", "\"api-key\", \"oauth\" or \"jwt\"");
            None
        }
    };
    auth.finish();
    found
}

fn login(auth: &Section<'_>) -> Option<Login> {
    let client_id = auth.required("client_id", "the client id the platform's operator gave you");
    let client_secret = auth.required_secret("client_secret");
    let username = auth.required("username", "the login, such as \"1001@example.com\"");
    let password = auth.required_secret("password");
    Some(Login {
        client_id: client_id?,
        client_secret: client_secret?,
        username: username?.into(),
        password: password?,
    })
}

fn reconcile(section: &Section<'_>) -> Vec<Duration> {
    let reconcile = section.section("reconcile");
    let usual = &["5s", "20s", "60s"];
    let texts = if reconcile.has("at") { reconcile.strings("at") } else { reconcile.strings_or("at", usual) };
    let found: Option<Vec<Duration>> = texts.iter().map(|text| parse_duration(text)).collect();
    let found = found.filter(|found| !found.is_empty() && found.is_sorted());
    if found.is_none() {
        reconcile.problem("at", "must be durations in rising order", "[\"5s\", \"20s\", \"60s\"]");
    }
    reconcile.finish();
    found.unwrap_or_default()
}

pub(super) fn channel(
    section: Section<'_>,
    tenants: &[Option<Genesys>],
    providers: &[Option<Provider>],
) -> Option<Channel> {
    let id = section.required("id", "the channel id Genesys gave you");
    let name = channel_name(&section, id.as_deref());
    let sms = section.word("kind", &[("sms", true), ("email", false)]);
    if !section.has("kind") {
        section.problem("kind", "is missing", "\"sms\" or \"email\"");
    }
    let genesys = one_of(&section, "genesys", tenants.iter().map(|tenant| Some(&tenant.as_ref()?.name)).collect());
    let provider = one_of(&section, "provider", providers.iter().map(|one| Some(&one.as_ref()?.name)).collect());
    let secrets = secrets(&section);
    let kind = match sms? {
        true => {
            let found = providers.iter().flatten().find(|one| Some(&one.name) == provider.as_ref());
            sms_kind(&section, id.as_deref(), found.is_none_or(|one| one.consent))
        }
        false => Some(ChannelKind::Email(mail::email_kind(&section))),
    };
    let inbound_to = mail::inbound(&section);
    if matches!(inbound_to, Some(Inbound::OpenMedia { .. })) {
        inbound::open_media(&section, sms?, genesys.as_ref(), tenants);
    }
    check_provider_kind(&section, provider.as_ref(), sms?, providers);
    let default = if sms? { "park" } else { "resend" };
    let words = [("park", WhenUnsure::Park), ("resend", WhenUnsure::Resend)];
    let policy = ReplyPolicy { when_unsure: section.word_or("when_unsure", default, &words) };
    let quiet = quiet::quiet(&section);
    let media = media::channel(&section, !sms?);
    let pace = pace(&section);
    section.finish();
    Some(Channel {
        name: name?,
        id: ChannelId::new(id?),
        kind: kind?,
        genesys: genesys?,
        provider: provider?,
        secrets: secrets?,
        inbound: inbound_to?,
        policy,
        pace,
        media,
        quiet,
    })
}

fn channel_name(section: &Section<'_>, id: Option<&str>) -> Option<ChannelName> {
    let key = if section.has("name") { "name" } else { "id" };
    let name = section.string_or("name", id)?;
    match ChannelName::parse(&name) {
        Ok(name) => Some(name),
        Err(error) if key == "id" => {
            section.problem(
                "name",
                format!("is missing, and the id cannot stand in for it: it {error}"),
                "name = \"sales-sms\"",
            );
            None
        }
        Err(error) => {
            section.problem("name", error.to_string(), "a short name, such as \"sales-sms\"");
            None
        }
    }
}

fn sms_kind(section: &Section<'_>, id: Option<&str>, keywords: bool) -> Option<ChannelKind> {
    let user = section.required("user", "the extension that owns the number, such as \"9000\"");
    let number = section.string_or("number", id);
    let country =
        section.parsed("country", "US", "a country code of two letters, such as \"US\"; \"\" for none", |text| {
            if text.is_empty() { Some(None) } else { text.to_uppercase().parse::<Country>().ok().map(Some) }
        });
    let texts = texts(section);
    let consent = consent(section, keywords, texts.max_characters);
    let groups = section.boolean("groups", false);
    let mms = Box::new(media::mms(section));
    Some(ChannelKind::Sms { user: user?, number: number?, country, texts, consent, groups, mms })
}

fn secrets(section: &Section<'_>) -> Option<Secrets> {
    let words = [("utf8", SecretEncoding::Utf8), ("hex", SecretEncoding::Hex), ("base64", SecretEncoding::Base64)];
    let encoding = section.word_or("secret_encoding", "utf8", &words);
    let given: Vec<SecretString> = section.secrets("secret");
    let asked = section.has("secrets") || section.has("secret_files");
    if !asked {
        section.problem("secret_files", "is missing", "[\"/run/secrets/…\"], the channel secret Genesys gave you");
        return None;
    }
    if given.is_empty() {
        section.problem("secret_files", "holds no usable secret", "at least one; the first signs, all verify");
        return None;
    }
    if !section.shared.read_secrets {
        return Secrets::new(&[SecretString::from("not read")], SecretEncoding::Utf8).ok();
    }
    match Secrets::new(&given, encoding) {
        Ok(secrets) => Some(secrets),
        Err(error) => {
            section.problem("secret_encoding", error, "\"utf8\", or secrets of the encoding it names");
            None
        }
    }
}

/// The named neighbour, or the only one there is. A table that has problems of its own (`None`) may be the one that is meant,
/// so a second problem would only distract from the first.
fn one_of(section: &Section<'_>, key: &str, all: Vec<Option<&NeighbourName>>) -> Option<NeighbourName> {
    let broken = all.iter().any(Option::is_none);
    let known: Vec<&NeighbourName> = all.into_iter().flatten().collect();
    let names = || known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
    match (section.string(key), known.as_slice()) {
        (Some(name), _) => {
            let found = known.iter().find(|known| known.as_str() == name);
            if found.is_none() && !broken {
                let instead = if known.is_empty() { format!("a [[{key}]] table of that name") } else { names() };
                section.problem(key, format!("names no [[{key}]] table"), &instead);
            }
            found.map(|found| (*found).clone())
        }
        (None, _) if broken => None,
        (None, [only]) => {
            section.record(key, only.as_str());
            Some((*only).clone())
        }
        (None, []) => {
            section.problem(key, format!("there is no usable [[{key}]] table"), &format!("a [[{key}]] table"));
            None
        }
        (None, _) => {
            section.problem(key, "is missing, and there is more than one", &names());
            None
        }
    }
}

fn check_provider_kind(section: &Section<'_>, name: Option<&NeighbourName>, sms: bool, all: &[Option<Provider>]) {
    let Some(provider) = all.iter().flatten().find(|provider| Some(&provider.name) == name) else { return };
    if matches!(provider.kind, ProviderKind::NetSapiens(_)) != sms {
        section.problem(
            "provider",
            "is a provider of another kind than this channel",
            "a provider of the channel's kind",
        );
    }
}

/// What must hold between the tables.
pub(super) fn neighbours(
    root: &Section<'_>,
    tenants: &[Option<Genesys>],
    providers: &[Option<Provider>],
    channels: &[Option<Channel>],
) {
    for key in ["genesys", "provider", "channel"] {
        if !root.has(key) {
            root.problem(key, "there is none", &format!("at least one [[{key}]] table"));
        }
    }
    unique(root, "genesys", "name", tenants.iter().flatten().map(|tenant| tenant.name.to_string()));
    unique(root, "provider", "name", providers.iter().flatten().map(|provider| provider.name.to_string()));
    let channels = || channels.iter().flatten();
    unique(root, "channel", "name (or id, where there is none)", channels().map(|channel| channel.name.to_string()));
    unique(
        root,
        "channel",
        "id at one tenant",
        channels().map(|channel| format!("{} / {}", channel.genesys, channel.id)),
    );
    let numbers = channels().filter_map(|channel| match &channel.kind {
        ChannelKind::Sms { number, .. } => Some(format!("{} / {number}", channel.provider)),
        ChannelKind::Email(_) => None,
    });
    unique(root, "channel", "number at one provider", numbers);
}

fn unique(root: &Section<'_>, key: &str, what: &str, values: impl Iterator<Item = String>) {
    let mut seen = BTreeMap::<String, usize>::new();
    for value in values {
        *seen.entry(value).or_default() += 1;
    }
    for (value, _) in seen.iter().filter(|(_, count)| **count > 1) {
        root.problem(key, format!("two tables have the same {what}: {value}"), "a different one in each");
    }
}
