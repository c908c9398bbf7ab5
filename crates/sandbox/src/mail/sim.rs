use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use runtime::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::bring::{Letter, bring};
use super::compose::{self, ConsumerMail};
use super::faults::MailFaults;
use super::serve::converse;
use super::state::{Brought, DeliveredMail, OutgoingState, State};
use crate::crew::{Crew, Foreman};

/// A simulated mail server of consumers, serving. Cheap to clone; it ends with the shutdown, or with its last clone.
#[derive(Clone)]
pub struct MailSim {
    pub(super) state: Arc<State>,
    address: SocketAddr,
    shutdown: Shutdown,
    crew: Arc<Crew>,
}

impl MailSim {
    /// Takes mail for consumers of `domain` until the shutdown.
    pub fn start(listener: TcpListener, domain: &str, shutdown: Shutdown) -> Self {
        let state = Arc::new(State::new(domain.to_owned()));
        let address = listener.local_addr().expect("a bound listener has an address");
        let crew = Arc::new(Crew::default());
        let foreman = crew.foreman();
        foreman.spawn(accept(listener, Arc::clone(&state), foreman.clone(), shutdown.clone()));
        Self { state, address, shutdown, crew }
    }

    /// Where it takes mail.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Brings the consumers' mail to the company there from now on.
    pub fn set_company(&self, address: SocketAddr) {
        self.state.room().company = Some(address);
    }

    /// A consumer sends a mail; its Message-ID. It is brought to the company in its own time.
    pub fn consumer_sends(&self, mail: &ConsumerMail) -> String {
        let message_id = self.new_id();
        let content = compose::mail(mail, &message_id, self.state.room().clock.now());
        let brought = Brought {
            at: self.state.room().clock.now(),
            message_id: message_id.clone(),
            subject: mail.subject.clone(),
            text: mail.text.clone(),
            files: mail.files.iter().map(|file| file.name.clone()).collect(),
            report: false,
            state: OutgoingState::Waiting,
        };
        self.send(
            Letter { from: mail.from.clone(), to: mail.to.clone(), message_id: message_id.clone(), content },
            brought,
        );
        message_id
    }

    /// Returns a mail that was delivered, as a server does that finds out late.
    ///
    /// # Errors
    /// There is no such mail, or nobody to return it to.
    pub fn bounce(&self, id: &str) -> anyhow::Result<()> {
        let message_id = self.new_id();
        let mut room = self.state.room();
        let now = room.clock.now();
        let mail = room.delivered.iter_mut().find(|mail| mail.id == id).context("there is no such mail")?;
        anyhow::ensure!(!mail.envelope_from.is_empty(), "it has no sender to return it to");
        mail.bounced = true;
        let content = compose::report(mail, &self.state.domain, &message_id, now);
        let to = mail.envelope_from.clone();
        drop(room);
        let brought = Brought {
            at: now,
            message_id: message_id.clone(),
            subject: "Undelivered Mail Returned to Sender".to_owned(),
            text: String::new(),
            files: Vec::new(),
            report: true,
            state: OutgoingState::Waiting,
        };
        self.send(Letter { from: String::new(), to, message_id, content }, brought);
        Ok(())
    }

    fn send(&self, letter: Letter, brought: Brought) {
        self.state.room().brought.push(brought);
        self.state.changed();
        self.crew.foreman().spawn(bring(letter, Arc::clone(&self.state), self.shutdown.clone()));
    }

    fn new_id(&self) -> String {
        format!("{}@{}", Uuid::new_v4().simple(), self.state.domain)
    }

    /// The company's mails in consumers' mailboxes, oldest first.
    pub fn delivered(&self) -> Vec<DeliveredMail> {
        self.state.room().delivered.to_vec()
    }

    /// The same without the first so many.
    pub fn delivered_after(&self, seen: u64) -> Vec<DeliveredMail> {
        self.state.room().delivered.after(seen)
    }

    /// What was brought to the company, or is to be, oldest first.
    pub fn brought(&self) -> Vec<Brought> {
        self.state.room().brought.to_vec()
    }

    /// The hand on its faults.
    pub const fn faults(&self) -> MailFaults<'_> {
        MailFaults(self)
    }

    /// Counts its changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.state.watch()
    }

    /// Looks after each change until there is something to see; `None` when there is nothing in time.
    pub async fn until<T>(&self, within: Duration, look: impl Fn(&Self) -> Option<T>) -> Option<T> {
        let mut changes = self.watch();
        let seen = async {
            loop {
                changes.borrow_and_update();
                if let Some(seen) = look(self) {
                    return Some(seen);
                }
                if changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        timeout(within, seen).await.ok().flatten()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, foreman: Foreman, shutdown: Shutdown) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.stopping() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (state, shutdown) = (Arc::clone(&state), shutdown.clone());
        foreman.spawn(async move {
            tokio::select! {
                ended = converse(stream, state) => if let Err(error) = ended {
                    tracing::debug!(error = format!("{error:#}"), "a mail conversation ended early");
                },
                () = shutdown.stopping() => {}
            }
        });
    }
}
