use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, ensure};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::Ehlo;
use lettre::transport::smtp::extension::ClientId;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::compose::Composed;
use super::log_in::{LoginError, Logins, log_in};
use super::outcome::{Sending, Whose};
use super::transaction::{Failure, How, Line, Times, is_login_trouble, transact};
use crate::{Login, Security};

/// The longest a mail may be on its way to a server, however large it is.
const UPLOAD: Duration = Duration::from_secs(300);

/// A server that takes our mail, and how it is talked to.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// The name of the provider account, in metrics and errors.
    pub target: String,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Who we are, where it asks.
    pub login: Option<Login>,
    /// Our name in EHLO: a name the other side can look up.
    pub hello: String,
    /// Connections at a time.
    pub connections: usize,
    /// Until a connection is greeted, protected and logged in.
    pub connect_timeout: Duration,
    /// Until each command before the mail itself is answered.
    pub step_timeout: Duration,
    /// What a server takes of a mail in a second at least: a larger mail has more time, from one step's to five minutes.
    pub bytes_a_second: u32,
    /// Until the server says what became of a mail it has. A mail whose answer was not waited for is sent twice, so it is long
    /// (RFC 5321, 4.5.3.2.6).
    pub answer_timeout: Duration,
    /// How long a connection may wait for its next mail.
    pub idle: Duration,
    /// Whether the server is asked to report success too, where it can (RFC 3461).
    pub reports: bool,
    /// Certificates of authorities beside the system's, in PEM.
    pub authorities: Vec<Vec<u8>>,
}

/// Sends mail over a pool of connections. It tries once and says what happened.
pub struct SmtpSender {
    config: SmtpConfig,
    tls: Option<TlsParameters>,
    hello: ClientId,
    places: Semaphore,
    logins: Logins,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    line: Line,
    since: Instant,
}

impl SmtpSender {
    /// Makes a sender; nothing is connected yet.
    ///
    /// # Errors
    /// An authority's certificate that cannot be read, or a login that would cross a network in the clear.
    pub fn new(config: SmtpConfig) -> anyhow::Result<Self> {
        let here = matches!(config.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        ensure!(
            config.security != Security::Plain || config.login.is_none() || here,
            "provider {}: a password would be sent in the clear; use smtps:// or STARTTLS",
            config.target
        );
        let tls = match config.security {
            Security::Plain => None,
            Security::Tls | Security::StartTls => Some(tls(&config)?),
        };
        let hello = ClientId::Domain(config.hello.clone());
        let places = Semaphore::new(config.connections.max(1));
        Ok(Self { config, tls, hello, places, logins: Logins::default(), idle: Mutex::default() })
    }

    /// Hands a mail to the server, once.
    pub async fn send(&self, mail: &Composed) -> Sending {
        let began = Instant::now();
        let sending = self.attempt(mail).await;
        let labels = [
            ("target", self.config.target.clone()),
            ("operation", "smtp-send".to_owned()),
            ("status", sending.word().to_owned()),
        ];
        metrics::histogram!("causeway_upstream_seconds", &labels).record(began.elapsed().as_secs_f64());
        sending
    }

    /// Connects and logs in, to see whether it can be done.
    ///
    /// # Errors
    /// What is wrong, as [`SmtpSender::send`] would say it.
    pub async fn probe(&self) -> Result<(), Sending> {
        let connected = timeout(self.config.connect_timeout, self.connect()).await;
        let mut line = connected.map_err(|_| Sending::Unavailable { cause: self.said("did not answer in time") })??;
        // The answer to a farewell changes nothing.
        let _farewell = timeout(self.config.connect_timeout, line.connection.quit()).await;
        Ok(())
    }

    async fn attempt(&self, mail: &Composed) -> Sending {
        let Ok(_place) = self.places.acquire().await else {
            return Sending::Unavailable { cause: self.said("is no longer used") };
        };
        let times = self.times(mail);
        if let Some(mut line) = self.take_idle() {
            // Over a connection that still stands a word comes as soon as over a new one.
            let first = times.step.min(self.config.connect_timeout);
            match transact(&mut line, mail, &Times { first, ..times }).await {
                Ok(sending) => return self.keep(line, sending),
                // A server closes connections that waited too long, and may say so; a new one tells more.
                Err(failure) if failure.of_the_wait() => {}
                Err(failure) => return self.failed(failure),
            }
        }
        let connected = timeout(self.config.connect_timeout, self.connect()).await;
        let mut line = match connected {
            Ok(Ok(line)) => line,
            Ok(Err(sending)) => return sending,
            Err(_) => return Sending::Unavailable { cause: self.said("did not answer in time") },
        };
        match transact(&mut line, mail, &times).await {
            Ok(sending) => self.keep(line, sending),
            Err(failure) => self.failed(failure),
        }
    }

    fn times(&self, mail: &Composed) -> Times {
        let SmtpConfig { step_timeout: step, answer_timeout: answer, bytes_a_second, .. } = self.config;
        let seconds = mail.bytes.len() as u64 / u64::from(bytes_a_second.max(1));
        let upload = Duration::from_secs(seconds).max(step).min(UPLOAD.max(step));
        Times { first: step, step, upload, answer }
    }

    async fn connect(&self) -> Result<Line, Sending> {
        let server = (self.config.host.as_str(), self.config.port);
        let at_once = self.tls.clone().filter(|_| self.config.security == Security::Tls);
        let connection = AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, at_once, None).await;
        let mut connection = connection.map_err(|error| self.unavailable("could not be reached", &error))?;
        if let (Security::StartTls, Some(tls)) = (self.config.security, self.tls.clone()) {
            if !connection.can_starttls() {
                return Err(Sending::Unavailable {
                    cause: self.said("does not offer STARTTLS; use smtps:// if it speaks TLS at once"),
                });
            }
            let upgraded = connection.starttls(tls, &self.hello).await;
            upgraded.map_err(|error| self.unavailable("could not be talked to over TLS", &error))?;
        }
        if let Some(login) = &self.config.login {
            self.log_in(&mut connection, login).await?;
        }
        let reports = self.config.reports && self.offers_reports(&mut connection).await?;
        Ok(Line { connection, reports, spent: false })
    }

    /// The library keeps no word of this extension, so the server is greeted once more.
    async fn offers_reports(&self, connection: &mut AsyncSmtpConnection) -> Result<bool, Sending> {
        let greeted = connection.command(Ehlo::new(self.hello.clone())).await;
        let offers = greeted.map_err(|error| self.unavailable("broke off the conversation", &error))?;
        Ok(offers.message().any(|line| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case("DSN"))))
    }

    /// A login that was refused is refused again to whoever asks soon: a queue full of mails is no reason to be locked out.
    async fn log_in(&self, connection: &mut AsyncSmtpConnection, login: &Login) -> Result<(), Sending> {
        let refused = |what: &str| Sending::LoginRefused { cause: self.said(what) };
        let turn = self.logins.turn().await;
        if self.logins.was_refused() {
            return Err(refused("refused the login; look at user and secret"));
        }
        let answered = log_in(connection, login).await;
        self.logins.told(matches!(answered, Ok(())), matches!(answered, Err(LoginError::Refused)));
        drop(turn);
        answered.map_err(|error| match error {
            // What a secret could not be read from is told by whoever reads it; here only that.
            LoginError::NoSecret => refused("needs a secret that cannot be read"),
            LoginError::NoWay => refused("offers no way to log in that is configured"),
            LoginError::Refused => refused("refused the login; look at user and secret"),
            LoginError::Broken(error) => self.unavailable("broke off the login", &error),
        })
    }

    fn failed(&self, failure: Failure) -> Sending {
        match failure.how {
            How::Doubt(what) => Sending::Unknown { cause: self.said(what) },
            How::Login => Sending::LoginRefused { cause: self.said("wants a login, or another one") },
            How::Closing(reason) => Sending::Later { whose: Whose::Server, reason },
            How::Broken => Sending::Unavailable { cause: self.said("broke off the conversation") },
            How::Silent => Sending::Unavailable { cause: self.said("did not answer in time") },
        }
    }

    /// Keeps a connection for the next mail, unless the server is tired of it.
    fn keep(&self, line: Line, sending: Sending) -> Sending {
        let tired = matches!(sending, Sending::Later { whose: Whose::Server, .. });
        if !tired && !line.spent && !line.connection.has_broken() {
            self.lock().push(Idle { line, since: Instant::now() });
        }
        sending
    }

    fn take_idle(&self) -> Option<Line> {
        let mut idle = self.lock();
        idle.retain(|waiting| waiting.since.elapsed() < self.config.idle);
        idle.pop().map(|waiting| waiting.line)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().expect("nobody panics while holding connections")
    }

    fn said(&self, what: &str) -> String {
        format!("the mail server of {} {what}", self.config.target)
    }

    fn unavailable(&self, what: &str, error: &lettre::transport::smtp::Error) -> Sending {
        if is_login_trouble(error) {
            return Sending::LoginRefused { cause: self.said("wants a login, or another one") };
        }
        // The kind of the error names no one; its text is the server's.
        let kind = match error.status() {
            Some(code) => format!(" (answer {code})"),
            None if error.is_tls() => {
                " (TLS: is its certificate valid for its name, and its authority known?)".to_owned()
            }
            None => String::new(),
        };
        Sending::Unavailable { cause: format!("{}{kind}", self.said(what)) }
    }
}

impl std::fmt::Debug for SmtpSender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SmtpSender({})", self.config.target)
    }
}

fn tls(config: &SmtpConfig) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParameters::builder(config.host.clone());
    for pem in &config.authorities {
        let certificate = Certificate::from_pem(pem);
        builder = builder.add_root_certificate(certificate.context("an authority is no PEM certificate")?);
    }
    builder.build_rustls().with_context(|| format!("provider {}: TLS cannot be set up", config.target))
}
