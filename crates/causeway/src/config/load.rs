use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::StatusCode;
use secrecy::SecretString;

use super::problems::Problems;
use super::section::{Section, Shared};
use super::settings::{Admin, Config, Control, Expire, Http, LedgerSettings, Log, Stop};
use super::tree::{self, Source};
use super::{check, mail, media, net, pull, show};

/// A configuration that holds.
#[derive(Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// What an operator should know, though nothing is wrong.
    pub warnings: Vec<String>,
    /// The configuration in force as TOML, secrets as `***`.
    pub shown: String,
    /// The files secrets were read from.
    pub secret_files: Vec<PathBuf>,
}

/// Reads a configuration.
///
/// # Errors
/// Every problem with it, together.
pub fn load(source: &Source<'_>, read_secrets: bool) -> Result<Loaded, Problems> {
    let mut problems = Problems::new(source.file);
    let tree = tree::read(source, &mut problems);
    let variables = tree.variables();
    let shared = Shared {
        problems: RefCell::new(problems),
        warnings: RefCell::default(),
        from_environment: tree.from_environment,
        variables,
        read_secrets,
        effective: RefCell::default(),
        secret_files: RefCell::default(),
    };
    let config = root(&Section::root(&tree.root, &shared));
    let problems = shared.problems.into_inner();
    match config {
        Some(config) if problems.is_empty() => Ok(Loaded {
            config,
            warnings: shared.warnings.into_inner(),
            shown: show::toml(shared.effective.into_inner()),
            secret_files: shared.secret_files.into_inner(),
        }),
        _ => Err(problems),
    }
}

/// Reads every section even when an earlier one failed, so that all problems are found.
fn root(root: &Section<'_>) -> Option<Config> {
    let http = http(root.section("http"));
    let admin = admin(root.section("admin"));
    let (broker, management, partitions, prefetch) = broker(root.section("broker"));
    let ledger = ledger(root.section("ledger"));
    let blobs = media::blobs(root.section("blobs"));
    let net = net::net(root.section("net"));
    let stop = stop(root.section("shutdown"));
    let expire = expire(root.section("expire"));
    let receipt_hold = {
        let section = root.section("receipts");
        let hold = section.duration("hold", "1s");
        section.finish();
        hold
    };
    let log = log(root.section("log"));
    let genesys: Vec<_> = root.sections("genesys").into_iter().map(check::genesys).collect();
    let mut providers: Vec<_> = root.sections("provider").into_iter().map(check::provider).collect();
    pull::settle(root, http.as_ref(), ledger.as_ref(), &mut providers);
    let channels: Vec<_> =
        root.sections("channel").into_iter().map(|one| check::channel(one, &genesys, &providers)).collect();
    let signs = !blobs.signing_keys.is_empty() || !matches!(broker, Some(broker::Config::RabbitMq(_)));
    mail::settle(root, http.as_ref(), ledger.as_ref(), &mut providers, &channels, signs);
    check::neighbours(root, &genesys, &providers, &channels);
    media::check_links(root, http.as_ref(), &blobs, broker.as_ref(), &channels);
    root.check_keys();
    Some(Config {
        http: http?,
        admin: admin?,
        broker: broker?,
        management,
        partitions,
        prefetch,
        ledger: ledger?,
        blobs,
        net,
        stop,
        expire,
        receipt_hold,
        log,
        genesys: genesys.into_iter().collect::<Option<_>>()?,
        providers: providers.into_iter().collect::<Option<_>>()?,
        channels: channels.into_iter().collect::<Option<_>>()?,
    })
}

pub(super) fn address(section: &Section<'_>, key: &str, default: &str) -> SocketAddr {
    section.parsed(key, default, "an address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"", |text| {
        text.parse().ok()
    })
}

fn http(section: Section<'_>) -> Option<Http> {
    let statuses = |key, default: &str, allowed: &'static [u16]| {
        let default: u16 = default.parse().expect("defaults are written as they are read");
        let found = section.integer(key, u64::from(default), 100..=599);
        let status = u16::try_from(found).ok().filter(|found| allowed.contains(found));
        if status.is_none() {
            let words: Vec<String> = allowed.iter().map(u16::to_string).collect();
            section.problem(key, "is not a status it may be", &words.join(" or "));
        }
        status.and_then(|status| StatusCode::from_u16(status).ok())
    };
    let listen = address(&section, "listen", "0.0.0.0:8080");
    let public_url = net::base_url(&section, "public_url", false);
    let body_limit = section.size("body_limit", "1 MiB");
    let bad_signature_status = statuses("bad_signature_status", "401", &[401, 403, 503]);
    let unknown_channel_status = statuses("unknown_channel_status", "404", &[404, 503]);
    let tls = net::tls(&section);
    section.finish();
    Some(Http {
        listen,
        public_url,
        body_limit,
        tls: tls?,
        bad_signature_status: bad_signature_status?,
        unknown_channel_status: unknown_channel_status?,
    })
}

fn admin(section: Section<'_>) -> Option<Admin> {
    let listen = address(&section, "listen", "0.0.0.0:9090");
    let control =
        section.parsed("control", "unix:data/control.sock", "\"unix:PATH\", or an address with token_file", |text| {
            match text.strip_prefix("unix:") {
                Some("") => None,
                Some(path) => Some(Err(PathBuf::from(path))),
                None => text.parse::<SocketAddr>().ok().map(Ok),
            }
        });
    let token = section.own_secret("token");
    let control = match control {
        Err(path) => Some(Control::Unix(path)),
        Ok(listen) => {
            if token.is_none() {
                section.problem(
                    "token_file",
                    "is missing, and control is a TCP address",
                    "the path of a file with a token",
                );
            }
            token.map(|token| Control::Tcp { listen, token })
        }
    };
    section.finish();
    Some(Admin { listen, control: control? })
}

fn broker(section: Section<'_>) -> (Option<broker::Config>, Option<SecretString>, u16, u16) {
    let partitions = section.integer("partitions", 4, 1..=256);
    let prefetch = section.integer("prefetch", 256, 1..=2000);
    let kind = section.parsed("kind", "embedded", "\"rabbitmq\" or \"embedded\"", |text| match text {
        "rabbitmq" => Some(true),
        "embedded" => Some(false),
        _ => None,
    });
    let mut management = None;
    let found = if kind {
        let url = section.required_secret("url");
        let declare = section.boolean("declare", true);
        let replicas = section.value("replicas").is_some().then(|| section.integer("replicas", 3, 1..=15));
        management = section.secret("management_url").filter(|url| net::management_url(&section, url));
        let ca_file = net::ca_file(&section);
        section.without_effect(&["path"], "kind = \"rabbitmq\"");
        url.filter(|url| net::amqp_url(&section, url)).map(|url| {
            let replicas = replicas.and_then(|replicas| u16::try_from(replicas).ok());
            broker::Config::RabbitMq(broker::RabbitMqConfig { url, ca_file, declare, replicas })
        })
    } else {
        let others = ["url", "url_file", "declare", "replicas", "management_url", "management_url_file", "tls"];
        section.without_effect(&others, "kind = \"embedded\"");
        let path = section.parsed("path", "data/broker", "the path of a folder", |text| Some(PathBuf::from(text)));
        Some(broker::Config::Embedded(broker::EmbeddedConfig { path }))
    };
    section.finish();
    let narrow = |number: u64| u16::try_from(number).expect("the range was checked");
    (found, management, narrow(partitions), narrow(prefetch))
}

fn ledger(section: Section<'_>) -> Option<LedgerSettings> {
    let sqlite = section.parsed("kind", "sqlite", "\"sqlite\" or \"postgres\"", |text| match text {
        "sqlite" => Some(true),
        "postgres" => Some(false),
        _ => None,
    });
    let retain = section.duration("retain", "30d");
    let found = if sqlite {
        section.without_effect(&["url", "url_file", "tls"], "kind = \"sqlite\"");
        let path = section.parsed("path", "data/ledger.db", "the path of a file", |text| Some(PathBuf::from(text)));
        Some(LedgerSettings::Sqlite { path, retain })
    } else {
        let url = section.required_secret("url");
        let ca_file = net::ca_file(&section);
        section.without_effect(&["path"], "kind = \"postgres\"");
        let url = url.filter(|url| net::ledger_url(&section, url));
        url.map(|url| LedgerSettings::Postgres { url, ca_file, retain })
    };
    section.finish();
    found
}

fn stop(section: Section<'_>) -> Stop {
    let stop = Stop { grace: section.duration("grace", "30s"), lag: section.duration("lag", "5s") };
    if stop.lag >= stop.grace {
        section.problem("lag", "must be shorter than grace", "a shorter one");
    }
    section.finish();
    stop
}

fn expire(section: Section<'_>) -> Expire {
    let expire = Expire {
        replies: section.duration("replies", "4h"),
        inbound: section.duration("inbound", "72h"),
        receipts: section.duration("receipts", "72h"),
    };
    section.finish();
    expire
}

fn log(section: Section<'_>) -> Log {
    use runtime::logging::Format;
    let format = section.parsed("format", "auto", "\"auto\", \"text\" or \"json\"", |text| match text {
        "auto" => Some(Format::Auto),
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => None,
    });
    let filter = section.parsed("filter", "info", "a filter such as \"info\" or \"info,broker=debug\"", |text| {
        runtime::logging::is_filter(text).then(|| text.to_owned())
    });
    section.finish();
    Log { format, filter }
}
