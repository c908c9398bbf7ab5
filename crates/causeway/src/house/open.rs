use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use broker::{Broker, Consume, Paces, Topology};
use ledger::{Ledger, LedgerError, PostgresConfig, SqliteConfig, TimeSource};
use runtime::admin::{OwnThread, serve_on_own_thread};
use runtime::{AlarmKind, Backoff, Clock, Health, HttpClient, Metrics, Shutdown, Tasks, run_upkeep};
use tokio::net::TcpListener;

use super::directories::{Directories, Doors, provider_doors};
use super::reload::Reload;
use super::{Role, accounts, control, front, mail_in, media, monitor, watch};
use crate::config::{Channel, Config, LedgerSettings, Loaded};

/// What a house is opened with.
pub struct Opening {
    /// The configuration, which has no problems.
    pub loaded: Loaded,
    /// The roles this process plays.
    pub roles: BTreeSet<Role>,
    /// The time.
    pub clock: Clock,
    /// Reads the configuration again when a secret file changes; `None` where secrets do not come from files.
    pub reload: Option<Reload>,
    /// The process's stop signal.
    pub shutdown: Shutdown,
}

/// A configuration that holds, and that this process cannot run with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Where an open house is reached.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Genesys and providers; only where a role answers HTTP.
    pub http: Option<SocketAddr>,
    /// Mail servers that bring consumers' mail.
    pub mail: Vec<SocketAddr>,
    /// Probes and metrics.
    pub admin: SocketAddr,
}

/// An open house.
pub struct House {
    /// Where it is reached.
    pub addresses: Addresses,
    /// The queues.
    pub broker: Broker,
    /// What was done; only where a role takes from queues.
    pub ledger: Option<Ledger>,
    /// How it is.
    pub health: Health,
    tasks: Tasks,
    admin: OwnThread,
    shutdown: Shutdown,
}

impl House {
    /// Opens the house: everything is checked and every store is open before the first port is.
    ///
    /// # Errors
    /// [`Refused`] when the configuration asks for what this version or this way of running has not; anything else
    /// is a store, a port or a file that cannot be had.
    pub async fn open(opening: Opening) -> anyhow::Result<Self> {
        let Opening { loaded, roles, clock, reload, shutdown } = opening;
        check(&loaded.config, &roles)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let config = loaded.config;
        // The tables of numbering plans are built on first use, which takes a while; no consumer's message should wait for it.
        model::PhoneNumber::warm_up();
        let metrics = Metrics::install();
        let health = Health::new(clock.clone());
        let http = HttpClient::new(&config.net).context("the HTTP client cannot be built from [net]")?;
        let broker = open_broker(&config, &clock).await?;
        let ledger = if keeps_ledger(&config, &roles) { Some(open_ledger(&config, &clock).await?) } else { None };
        let store = media::open(&config, &http, &clock)?;
        let directories = Directories::new(
            &config,
            Doors { http: http.clone(), clock: clock.clone(), health: health.clone(), ledger: ledger.clone() },
            store.clone(),
        )?;

        let Sockets { public, mail, admin } = Sockets::bind(&config, &roles).await?;
        let addresses = Addresses::of(public.as_ref(), &mail, &admin)?;
        let admin = serve_on_own_thread(admin.into_std()?, health.clone(), metrics.clone(), shutdown.clone())?;
        let mut tasks = Tasks::new(shutdown.clone());
        tasks.spawn("metrics upkeep", run_upkeep(metrics, shutdown.clone()));
        monitor::spawn(&mut tasks, &roles, &broker, ledger.as_ref(), &clock, &health, &shutdown);
        monitor::spawn_store(&mut tasks, &roles, &store, &health, &shutdown);
        control::spawn(&mut tasks, &config, &broker, ledger.as_ref(), &clock, &health, &shutdown).await?;
        let parts = Parts {
            config: &config,
            broker: &broker,
            ledger: ledger.as_ref(),
            clock: &clock,
            health: &health,
            shutdown: &shutdown,
            directories: &directories,
        };
        spawn_roles(&mut tasks, &roles, &parts, public, mail)?;
        if roles.contains(&Role::ConsumerOutbound) {
            let providers = provider_doors(&config, &http, &clock, ledger.as_ref());
            let clocks = accounts::watch_clocks(providers.clone(), health.clone(), shutdown.clone());
            tasks.spawn("clocks of accounts", clocks);
            let look = accounts::look_at_start(config.clone(), providers, health.clone(), shutdown.clone());
            tasks.spawn_finite("accounts at start", look);
        }
        if let Some(reload) = reload {
            tasks.spawn("secret files", reload.run(directories, shutdown.clone()));
        } else {
            tasks.spawn("directories", keep(directories, shutdown.clone()));
        }
        addresses.tell(&roles);
        Ok(Self { addresses, broker, ledger, health, tasks, admin, shutdown })
    }

    /// The stop signal.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Waits until the house is closed, and closes its stores last.
    ///
    /// # Errors
    /// The first part that failed; the others were stopped because of it.
    pub async fn closed(self) -> anyhow::Result<()> {
        let ended = self.tasks.join().await;
        if let Some(ledger) = self.ledger {
            ledger.close().await;
        }
        self.broker.close().await;
        let answered = self.admin.join().await;
        ended.and(answered)
    }
}

/// What the parts of a house are started with.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) broker: &'a Broker,
    pub(super) ledger: Option<&'a Ledger>,
    pub(super) clock: &'a Clock,
    pub(super) health: &'a Health,
    pub(super) shutdown: &'a Shutdown,
    pub(super) directories: &'a Directories,
}

/// Every port but the control socket's, bound before anything runs behind one.
struct Sockets {
    public: Option<TcpListener>,
    mail: Vec<mail_in::Door>,
    admin: TcpListener,
}

impl Sockets {
    async fn bind(config: &Config, roles: &BTreeSet<Role>) -> anyhow::Result<Self> {
        let public = match roles.iter().any(|role| role.answers_http()) {
            true => Some(bind(config.http.listen, "http.listen").await?),
            false => None,
        };
        let mail = mail_in::open(config, roles).await?;
        Ok(Self { public, mail, admin: bind(config.admin.listen, "admin.listen").await? })
    }
}

fn spawn_roles(
    tasks: &mut Tasks,
    roles: &BTreeSet<Role>,
    parts: &Parts<'_>,
    public: Option<TcpListener>,
    mail: Vec<mail_in::Door>,
) -> anyhow::Result<()> {
    if let Some(listener) = public {
        front::spawn(tasks, listener, roles, parts)?;
    }
    if roles.contains(&Role::Ingress) {
        mail_in::spawn(tasks, mail, parts)?;
    }
    if let Some(ledger) = parts.ledger {
        spawn_consumers(tasks, roles, ledger, parts);
    }
    Ok(())
}

impl Addresses {
    fn of(public: Option<&TcpListener>, mail: &[mail_in::Door], admin: &TcpListener) -> anyhow::Result<Self> {
        Ok(Self {
            http: public.map(TcpListener::local_addr).transpose()?,
            mail: mail.iter().map(mail_in::Door::address).collect::<Result<_, _>>()?,
            admin: admin.local_addr()?,
        })
    }

    fn tell(&self, roles: &BTreeSet<Role>) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            http = self.http.map(tracing::field::display),
            mail = self.mail.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            admin = %self.admin,
            roles = roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(","),
            "causeway is open"
        );
    }
}

fn quiet_channels(config: &Config, health: &Health) -> Vec<genesys_outbound::QuietChannel> {
    let watched = |channel: &Channel| {
        let quiet = channel.quiet.as_ref()?;
        Some(genesys_outbound::QuietChannel {
            name: channel.name.clone(),
            genesys: channel.genesys.clone(),
            after: quiet.after,
            hours: quiet.hours.clone(),
            alarm: health.alarm(AlarmKind::NoInbound, channel.name.as_str()),
        })
    };
    config.channels.iter().filter_map(watched).collect()
}

/// Who takes from queues keeps one, and so does the watch over the providers beside their doors.
fn keeps_ledger(config: &Config, roles: &BTreeSet<Role>) -> bool {
    let watches = roles.contains(&Role::Ingress) && (watch::is_needed(config) || mail_in::is_watching(config));
    watches || !roles.iter().all(|role| role.answers_http())
}

fn check(config: &Config, roles: &BTreeSet<Role>) -> Result<(), Refused> {
    if matches!(config.broker, broker::Config::Embedded(_)) && *roles != Role::all() {
        let told = "broker.kind: the embedded broker lives in one process, and --role asks for some of the roles; run all roles \
                    in this process (leave --role out), or write broker.kind = \"rabbitmq\"";
        return Err(Refused(told.to_owned()));
    }
    Ok(())
}

pub(super) async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{key} = \"{address}\" cannot be opened; is something else there?"))
}

/// The topology a configuration asks for.
pub(crate) fn topology(config: &Config) -> Topology {
    Topology { partitions: config.partitions, genesys: config.genesys_names(), providers: config.provider_names() }
}

/// Opens the broker of a configuration.
pub(crate) async fn open_broker(config: &Config, clock: &Clock) -> anyhow::Result<Broker> {
    let opened = Broker::open(config.broker.clone(), topology(config), clock.clone()).await;
    opened.context("the broker cannot be opened")
}

/// Opens the ledger of a configuration.
pub(crate) async fn open_ledger(config: &Config, clock: &Clock) -> anyhow::Result<Ledger> {
    // With the embedded broker every earlier process is dead, and what it left open can be looked into at once.
    let sole_owner = matches!(config.broker, broker::Config::Embedded(_));
    Ledger::open(ledger_settings(config, sole_owner), clock.clone()).await.context("the ledger cannot be opened")
}

/// Opens the ledger for a command, as it is: whoever types it may be another user than the one the bridge runs as, and what they
/// made would be theirs. A schema is changed by the bridge and by `ledger migrate`.
pub(crate) async fn open_ledger_as_it_is(config: &Config, clock: &Clock) -> Result<Ledger, LedgerError> {
    Ledger::open_as_it_is(ledger_settings(config, false), clock.clone()).await
}

/// What the ledger of a configuration is opened with.
pub(crate) fn ledger_settings(config: &Config, sole_owner: bool) -> ledger::Config {
    match &config.ledger {
        LedgerSettings::Sqlite { path, retain } => {
            ledger::Config::Sqlite(SqliteConfig { path: path.clone(), retain: *retain, sole_owner })
        }
        LedgerSettings::Postgres { url, ca_file, retain } => ledger::Config::Postgres(PostgresConfig {
            url: url.clone(),
            ca_file: ca_file.clone(),
            retain: *retain,
            time: TimeSource::Database,
        }),
    }
}

/// Failed tries after which a message is dead-lettered (`reference/genesys.md` 9).
const MAX_ATTEMPTS: u32 = 12;

fn spawn_consumers(tasks: &mut Tasks, roles: &BTreeSet<Role>, ledger: &Ledger, parts: &Parts<'_>) {
    let config = parts.config;
    let consume = |neighbours, expire, paces| Consume {
        neighbours,
        prefetch: config.prefetch,
        expire,
        max_attempts: MAX_ATTEMPTS,
        backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) },
        paces,
    };
    let (broker, ledger, clock) = (parts.broker.clone(), ledger.clone(), parts.clock.clone());
    // One for both roles that call tenants: a pace is what the process keeps to.
    let tenants = tenant_paces(config);
    let (store, links) = (parts.directories.store.clone(), parts.directories.media_links.subscribe());
    if roles.contains(&Role::GenesysOutbound) || roles.contains(&Role::ConsumerOutbound) {
        let swept = media::sweep(store.clone(), config.blobs.link_ttl, parts.shutdown.clone());
        tasks.spawn("sweep of old files", swept);
    }
    if roles.contains(&Role::GenesysOutbound) {
        let idle = genesys_outbound::IdleDeps {
            directory: parts.directories.genesys.subscribe(),
            ledger: ledger.clone(),
            clock: clock.clone(),
        };
        tasks.spawn("idle tasks", genesys_outbound::end_idle_tasks(idle, parts.shutdown.clone()));
        let settings = genesys_outbound::Config {
            consume: consume(config.genesys_names(), config.expire.inbound, tenants.clone()),
            quiet: quiet_channels(config, parts.health),
        };
        let directory = parts.directories.genesys.subscribe();
        let (broker, ledger, clock) = (broker.clone(), ledger.clone(), clock.clone());
        let directory_of_media = parts.directories.media.subscribe();
        let media =
            genesys_outbound::Media { store: store.clone(), links: links.clone(), directory: directory_of_media };
        let sources = parts.directories.sources.subscribe();
        let mails = mail_in::mails(tasks, parts);
        let deps = genesys_outbound::Deps { directory, sources, broker, ledger, media, mails, clock };
        tasks.spawn(Role::GenesysOutbound.word(), genesys_outbound::run(settings, deps, parts.shutdown.clone()));
    }
    if roles.contains(&Role::ConsumerOutbound) {
        let settings = consumer_outbound::Config {
            consume: consume(config.provider_names(), config.expire.replies, provider_paces(config)),
        };
        let directory = parts.directories.consumer.subscribe();
        let (broker, ledger, clock) = (broker.clone(), ledger.clone(), clock.clone());
        let files = consumer_outbound::Files { genesys: parts.directories.genesys.subscribe(), store, links };
        let deps = consumer_outbound::Deps { directory, broker, ledger, files, clock };
        tasks.spawn(Role::ConsumerOutbound.word(), consumer_outbound::run(settings, deps, parts.shutdown.clone()));
    }
    if roles.contains(&Role::ReceiptEmitter) {
        let consume = consume(config.genesys_names(), config.expire.receipts, tenants);
        let settings = receipt_emitter::Config { consume, hold: config.receipt_hold };
        let directory = parts.directories.genesys.subscribe();
        let deps = receipt_emitter::Deps { directory, broker, ledger, clock };
        tasks.spawn(Role::ReceiptEmitter.word(), receipt_emitter::run(settings, deps, parts.shutdown.clone()));
    }
}

/// By the names the rooms give their targets.
fn tenant_paces(config: &Config) -> Paces {
    config.genesys.iter().filter_map(|tenant| Some((tenant.name.to_string(), tenant.pace?))).collect()
}

fn provider_paces(config: &Config) -> Paces {
    let accounts = config.providers.iter().filter_map(|account| Some((account.name.to_string(), account.pace?)));
    let numbers = config.channels.iter().filter_map(|channel| {
        Some((consumer_outbound::number_target(&channel.provider, &channel.name), channel.pace?))
    });
    accounts.chain(numbers).collect()
}

/// Holds the directories where nothing ever changes them, so that the rooms' receivers stay open.
async fn keep(directories: Directories, shutdown: Shutdown) -> anyhow::Result<()> {
    shutdown.stopping().await;
    drop(directories);
    Ok(())
}
