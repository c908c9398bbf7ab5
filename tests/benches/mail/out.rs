//! The far sides of agents' mail: a Genesys whose agents write, and a mail server that answers after a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use email::listen::{ListenConfig, Refusals, SmtpLimits, Store, StoreError, serve};
use runtime::Shutdown;
use sandbox::{GenesysSim, GenesysSimConfig, SimChannel, WebhookState};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

const SOON: Duration = Duration::from_secs(120);
pub(crate) const MAILS: usize = 3_000;
pub(crate) const CONSUMERS: usize = 600;
/// As long as a server takes that looks at a mail before it takes it.
pub(crate) const ANSWER: Duration = Duration::from_millis(100);

/// Both of them.
pub(crate) struct Far {
    pub(crate) genesys: GenesysSim,
    at: SocketAddr,
    open: watch::Sender<bool>,
    taken: watch::Receiver<usize>,
    most: Arc<AtomicUsize>,
    shutdown: Shutdown,
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl Far {
    /// The server takes nothing yet.
    pub(crate) async fn open(bridge: SocketAddr) -> anyhow::Result<Self> {
        let (shutdown, mut tasks) = (Shutdown::new(), JoinSet::new());
        let channel = SimChannel {
            id: "company.com".to_owned(),
            secret: "t4Wn8pQx-mail-channel-secret".to_owned(),
            webhook_url: Some(format!("http://{bridge}/genesys/company.com")),
        };
        let ccid = "0ff723ff-6c6f-44e0-9ce3-ce579337eadd".to_owned();
        let config = GenesysSimConfig { ccid, channels: vec![channel] };
        let genesys = GenesysSim::start(TcpListener::bind("127.0.0.1:0").await?, config, shutdown.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let ((open, opened), (count, taken)) = (watch::channel(false), watch::channel(0));
        let (now, most, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(count));
        let seen = Arc::clone(&most);
        let store = Store::new(move |_| {
            let (now, most, count, mut opened) =
                (Arc::clone(&now), Arc::clone(&seen), Arc::clone(&count), opened.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let answered = opened.wait_for(|open| *open).await.map(drop).map_err(|_| StoreError::Later);
                sleep_until(tokio::time::Instant::now() + ANSWER).await;
                now.fetch_sub(1, Ordering::SeqCst);
                count.send_modify(|count| *count += 1);
                answered
            }
        });
        let config = ListenConfig {
            name: "mx.consumer.example".to_owned(),
            allowed: vec!["127.0.0.0/8".parse()?],
            domains: vec!["consumer.example".to_owned()],
            bounce_address: None,
            refusals: Refusals::new("mail"),
            tls: None,
            require_tls: false,
            spool: std::env::temp_dir(),
            limits: SmtpLimits { store: SOON, mails: MAILS, ..SmtpLimits::default() },
        };
        tasks.spawn(serve(listener, config, store, shutdown.clone()));
        Ok(Self { genesys, at, open, taken, most, shutdown, _tasks: tasks })
    }

    /// The keys of the bridge's provider.
    pub(crate) fn keys(&self, connections: usize) -> String {
        format!(
            "smtp = {{ url = \"smtp://{}\", tls = \"none\", connections = {connections} }}\nbounce_address = \"bounces@company.com\"",
            self.at
        )
    }

    /// Agents write everything; it is accepted and waits.
    pub(crate) async fn write(&self) -> anyhow::Result<()> {
        let write = |number: usize| {
            let to = format!("c{}@consumer.example", number % CONSUMERS);
            self.genesys.agent_sends_mail("company.com", "help@company.com", &to, "Order 42", "It is on its way.")
        };
        let ids: Vec<String> = (0..MAILS).map(write).collect();
        for id in ids {
            let state = self.genesys.webhook_settled(&id, SOON).await;
            ensure!(state == Some(WebhookState::Accepted), "a webhook was not accepted: {state:?}");
        }
        Ok(())
    }

    /// The server takes what waits: how long that took, and how many mails were under way at once.
    pub(crate) async fn take(mut self) -> anyhow::Result<(Duration, usize)> {
        let began = Instant::now();
        self.open.send_replace(true);
        timeout(SOON, self.taken.wait_for(|taken| *taken >= MAILS)).await.context("not all were sent in time")??;
        let took = began.elapsed();
        self.shutdown.force();
        Ok((took, self.most.load(Ordering::SeqCst)))
    }
}
