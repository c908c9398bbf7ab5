//! `causeway sandbox`: the whole bridge in one process on the embedded broker, between simulated neighbours.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use runtime::http_server::{Limits, serve};
use runtime::{Clock, Shutdown, Tasks};
use sandbox::page::{Mailbox, PageState, Walk, router};
use sandbox::{GenesysSim, GenesysSimConfig, MailSim, NetSapiensSim, NetSapiensSimConfig, SimChannel, SimNumber};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::exit::Exit;
use super::output;
use crate::config::{Loaded, Source, load};
use crate::house::{House, Opening, Role};

/// `causeway sandbox`
#[derive(Args)]
pub(super) struct Sandbox {
    /// Where the web page is; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8088")]
    listen: SocketAddr,
    /// Where the bridge keeps its queues and its ledger; left out: a folder that is gone afterwards.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

const GRACE: Duration = Duration::from_secs(5);
const FILTER: &str = "warn,causeway=info";
/// Lines of the timeline the page is given.
const LINES: u32 = 400;

/// The company's number, which is the channel, and the consumer's: reserved for fiction in the North American plan.
const COMPANY: &str = "13125550100";
const CONSUMER: &str = "13125550142";
const USER: &str = "9000";
const DOMAIN: &str = "example.com";
const CHANNEL_NAME: &str = "sandbox";

/// The company's mail domain, which is a channel as well, and both mail addresses.
const MAIL_DOMAIN: &str = "company.example";
const MAIL_COMPANY: &str = "help@company.example";
const MAIL_CONSUMER: &str = "ann@consumer.example";
const MAIL_CHANNEL: &str = "sandbox-mail";

impl Sandbox {
    pub(super) async fn run(self) -> Result<(), Exit> {
        runtime::logging::init(runtime::logging::Format::Auto, FILTER)?;
        let shutdown = Shutdown::new();
        let signals = shutdown.on_signals(GRACE)?;
        let page = bind(self.listen).await?;
        let data = Data::open(self.data)?;
        let secrets = Secrets::new();
        let Neighbours { genesys, netsapiens, mail } = neighbours(&secrets, &shutdown).await?;
        let neighbours = Neighbours { genesys: genesys.clone(), netsapiens: netsapiens.clone(), mail: mail.clone() };
        let loaded = configuration(data.path(), &secrets, &neighbours)?;
        let opening =
            Opening { loaded, roles: Role::all(), clock: Clock::system(), reload: None, shutdown: shutdown.clone() };
        let house = House::open(opening).await?;
        let bridge = house.addresses.http.context("all roles are played, so the public listener is open")?;
        genesys.set_webhook(COMPANY, format!("http://{bridge}/genesys/{CHANNEL_NAME}"));
        genesys.set_webhook(MAIL_DOMAIN, format!("http://{bridge}/genesys/{MAIL_CHANNEL}"));
        netsapiens.set_event_url(format!("http://{bridge}/netsapiens/sandbox/{}", secrets.event));
        mail.set_company(*house.addresses.mail.first().context("the sandbox takes mail")?);

        let address = page.local_addr().context("the page has no address")?;
        let mut tasks = Tasks::new(shutdown.clone());
        let state = PageState {
            genesys,
            netsapiens,
            channel: COMPANY.to_owned(),
            company_number: COMPANY.to_owned(),
            consumer_number: CONSUMER.to_owned(),
            mailbox: Mailbox {
                server: mail,
                consumer: MAIL_CONSUMER.to_owned(),
                company: MAIL_COMPANY.to_owned(),
                channel: MAIL_DOMAIN.to_owned(),
            },
            walk: walk(&house),
            shutdown: shutdown.clone(),
        };
        let limits = Limits { lag: Duration::ZERO, ..Limits::default() };
        tasks.spawn("page", serve(page, None, router(state), limits, shutdown.clone()));
        tell(address, &house, data.path());
        let all = async {
            // The bridge begins the shutdown when one of its parts fails, and the page does; so neither is waited for alone.
            let (house, page) = tokio::join!(house.closed(), tasks.join());
            house.and(page)
        };
        tokio::select! {
            closed = all => closed?,
            failed = signals => failed?,
        }
        Ok(())
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let told = || format!("--listen {address} cannot be opened; is another sandbox running? Try --listen 127.0.0.1:0");
    TcpListener::bind(address).await.with_context(told)
}

/// Where the bridge keeps what it keeps.
enum Data {
    Kept(PathBuf),
    Passing(TempDir),
}

impl Data {
    fn open(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = given else {
            return Ok(Self::Passing(TempDir::with_prefix("causeway-sandbox-").context("no folder for the queues")?));
        };
        std::fs::create_dir_all(&path).with_context(|| format!("--data {} cannot be made", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("--data {} cannot be found", path.display()))?;
        Ok(Self::Kept(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }
}

/// Made up for each run, so that no sandbox opens another's door.
struct Secrets {
    ccid: String,
    channel: String,
    key: String,
    event: String,
}

impl Secrets {
    fn new() -> Self {
        let made_up = || Uuid::new_v4().simple().to_string();
        Self { ccid: Uuid::new_v4().to_string(), channel: made_up(), key: made_up(), event: made_up() }
    }
}

/// Who stands around the bridge.
struct Neighbours {
    genesys: GenesysSim,
    netsapiens: NetSapiensSim,
    mail: MailSim,
}

async fn neighbours(secrets: &Secrets, shutdown: &Shutdown) -> anyhow::Result<Neighbours> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let channel = |id: &str| SimChannel { id: id.to_owned(), secret: secrets.channel.clone(), webhook_url: None };
    let channels = vec![channel(COMPANY), channel(MAIL_DOMAIN)];
    let config = GenesysSimConfig { ccid: secrets.ccid.clone(), channels };
    let genesys = GenesysSim::start(TcpListener::bind(any).await?, config, shutdown.clone());
    let config = NetSapiensSimConfig {
        domain: DOMAIN.to_owned(),
        api_key: secrets.key.clone(),
        numbers: vec![SimNumber { user: USER.to_owned(), number: COMPANY.to_owned() }],
        event_url: None,
    };
    let netsapiens = NetSapiensSim::start(TcpListener::bind(any).await?, config, shutdown.clone());
    let mail = MailSim::start(TcpListener::bind(any).await?, "consumer.example", shutdown.clone());
    Ok(Neighbours { genesys, netsapiens, mail })
}

/// The configuration a user would write, read the way a user's is, and left in the folder for the other commands.
fn configuration(data: &Path, secrets: &Secrets, neighbours: &Neighbours) -> Result<Loaded, Exit> {
    let Neighbours { genesys, netsapiens, mail } = neighbours;
    let listen = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let listen = listen.context("no port is free for the bridge")?.to_string();
    let inside = |name: &str| data.join(name).display().to_string();
    let document = toml::Table::try_from(json!({
        // Pictures become links to this very listener, so its port is known beforehand.
        "http": { "listen": listen, "public_url": format!("http://{listen}") },
        "admin": { "listen": "127.0.0.1:0", "control": format!("unix:{}", inside("control.sock")) },
        "broker": { "kind": "embedded", "path": inside("broker") },
        "ledger": { "kind": "sqlite", "path": inside("ledger.db") },
        "blobs": { "url": format!("file:{}", inside("blobs")) },
        "shutdown": { "grace": "5s", "lag": "0s" },
        "genesys": [{ "name": "sandbox", "base_url": genesys.base_url(), "ccid": secrets.ccid }],
        "provider": [{
            "name": "sandbox", "kind": "netsapiens", "base_url": netsapiens.base_url(), "domain": DOMAIN,
            "auth": { "kind": "api-key", "key": secrets.key }, "webhook_secrets": [secrets.event],
            "delivered_when": "accepted", "subscribe": false,
        }, {
            "name": "mail", "kind": "email", "listen": "127.0.0.1:0", "delivered_when": "accepted",
            "smtp": { "url": format!("smtp://{}", mail.address()), "tls": "none" }, "hello": "bridge.company.example",
            "bounce_address": format!("bounces@{MAIL_DOMAIN}"), "spool": inside("spool"),
        }],
        "channel": [
            { "id": COMPANY, "name": CHANNEL_NAME, "kind": "sms", "provider": "sandbox", "user": USER, "secrets": [secrets.channel] },
            {
                "id": MAIL_DOMAIN, "name": MAIL_CHANNEL, "kind": "email", "provider": "mail",
                "secrets": [secrets.channel], "inbound": "messages", "media": "rich-media",
            },
        ],
    }));
    let text = document.context("the sandbox's configuration is not TOML")?.to_string();
    let path = data.join("causeway.toml");
    write_private(&path, &text).with_context(|| format!("{} cannot be written", path.display()))?;
    let file = path.display().to_string();
    // The environment is another bridge's business.
    let mut loaded = load(&Source { file: &file, text: &text, environment: Vec::new() }, true).map_err(Exit::Config)?;
    // Nobody but this machine asks for it.
    loaded.warnings.retain(|warning| !warning.starts_with("http.public_url"));
    Ok(loaded)
}

/// It holds the secrets of this run.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// The bridge's own view, for the middle of the page. One consumer is there, so every line is about that one.
fn walk(house: &House) -> Walk {
    let (broker, ledger, health) = (house.broker.clone(), house.ledger.clone(), house.health.clone());
    Walk::new(move |_| {
        let (broker, ledger, health) = (broker.clone(), ledger.clone(), health.clone());
        async move {
            let ledger = ledger.context("a house of all roles keeps a ledger")?;
            let (queues, lines) = tokio::join!(broker.queues(), ledger.recent(LINES));
            Ok(json!({ "queues": queues?, "lines": lines?, "health": health.report() }))
        }
    })
}

fn tell(page: SocketAddr, house: &House, data: &Path) {
    output::line("");
    output::line(&format!("  Open  http://{page}/  and be the consumer on the left, the agent on the right."));
    output::line("");
    output::line(&format!("  probes and metrics   http://{}/readyz  /metrics", house.addresses.admin));
    let config = data.join("causeway.toml");
    output::line(&format!("  look inside          causeway queues --config {}", config.display()));
    output::line("  stop                 Ctrl-C");
    output::line("");
}
