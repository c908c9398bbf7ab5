//! `causeway doctor`: looks at everything a bridge stands on, and makes nothing.

use std::time::Duration;

use broker::{Broker, QueueReport, State};
use clap::Args;
use email::outgoing::{Sending, SmtpSender};
use http::Method;
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::ChannelName;
use runtime::{Clock, HttpClient};
use serde::Deserialize;

use super::control::ask;
use super::exit::Exit;
use super::load::load_file;
use super::topology::management;
use super::{ConfigFile, output};
use crate::config::{Config, Inbound};
use crate::house::accounts::{Finding, look, look_at_clock};
use crate::house::mail;
use crate::house::{
    CLOCKS_DIFFER, genesys_doors, open_broker, open_ledger_as_it_is, open_store, provider_doors, subscribed, topology,
};

/// `causeway doctor`
#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    file: ConfigFile,
}

/// How long the broker is waited for.
const CONNECTS: Duration = Duration::from_secs(10);

/// What was seen, line by line.
#[derive(Default)]
struct Report {
    findings: u32,
    unseen: u32,
}

impl Report {
    fn well(&self, what: &str) {
        output::line(&format!("well     {what}"));
    }

    fn finding(&mut self, what: &str) {
        self.findings += 1;
        output::line(&format!("FINDING  {what}"));
    }

    fn note(&self, what: &str) {
        output::line(&format!("note     {what}"));
    }

    fn unseen(&mut self, what: &str) {
        self.unseen += 1;
        output::line(&format!("unseen   {what}"));
    }
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let loaded = load_file(&self.file.config, true)?;
        let (config, clock) = (loaded.config, Clock::system());
        let mut report = Report::default();
        for warning in &loaded.warnings {
            report.note(warning);
        }
        queues(&config, &clock, &mut report).await;
        running(&config, &mut report).await;
        let ledger = ledger(&config, &clock, &mut report).await;
        let http = HttpClient::new(&config.net)?;
        for (access, client) in genesys_doors(&config, &http, &clock) {
            let service = open_media_service(&config, &access.name);
            let (probed, what) = match service {
                Some(service) => (client.probe_open_media(service).await, "the API key for open media of"),
                None => (client.probe(&access).await, "calls on"),
            };
            match probed {
                Ok(()) => report.well(&format!("Genesys takes {what} channel {}", access.name)),
                Err(refusal @ (genesys::Refusal::ChannelFault { .. } | genesys::Refusal::Never { .. })) => {
                    report.finding(&refusal.to_string());
                }
                Err(refusal) => report.unseen(&format!("channel {} at Genesys: {refusal}", access.name)),
            }
        }
        files(&config, &http, &clock, &mut report).await;
        accounts(&config, &http, &clock, ledger.as_ref(), &mut report).await;
        mail_servers(&config, &mut report).await;
        mailboxes(&config, &mut report).await;
        if let Some(ledger) = ledger {
            ledger.close().await;
        }
        output::line(&format!("{} findings, {} not seen", report.findings, report.unseen));
        match (report.findings, report.unseen) {
            (0, 0) => Ok(()),
            (0, _) => Err(Exit::Unseen),
            _ => Err(Exit::Findings),
        }
    }
}

/// Where messages of a channel go, if not to the channel itself; Genesys need not have that one then.
fn open_media_service<'a>(config: &'a Config, name: &ChannelName) -> Option<&'a str> {
    let channel = config.channels.iter().find(|channel| channel.name == *name)?;
    match &channel.inbound {
        Inbound::OpenMedia { service, .. } => Some(service),
        Inbound::Messages => None,
    }
}

async fn subscriptions(config: &Config, provider: &sms::Provider, now: Timestamp, report: &mut Report) {
    let Some((subscribe, users)) = subscribed(config, provider.name()) else { return };
    match subscribe.look(provider, &users, now).await {
        Ok(findings) if findings.is_empty() => {
            report.well(&format!("provider {} posts its events here", provider.name()));
        }
        Ok(findings) => findings.iter().for_each(|finding| report.finding(finding)),
        Err(error) => report.unseen(&format!("event subscriptions: {error}")),
    }
}

async fn queues(config: &Config, clock: &Clock, report: &mut Report) {
    if let broker::Config::RabbitMq(settings) = &config.broker {
        let mut looking = config.clone();
        looking.broker = broker::Config::RabbitMq(broker::RabbitMqConfig { declare: false, ..settings.clone() });
        match open_broker(&looking, clock).await {
            Ok(broker) => {
                rabbitmq(&broker, report).await;
                broker.close().await;
            }
            Err(error) => report.unseen(&format!("{error:#}")),
        }
        managed(config, report).await;
    }
    match ask::<Vec<QueueReport>>(config, Method::GET, "/queues").await {
        Ok(found) => look_at_queues(&found, report),
        Err(error) => report.unseen(&format!("the queues of the running process: {error:#}")),
    }
}

async fn rabbitmq(broker: &Broker, report: &mut Report) {
    match broker.version().await {
        Ok(Some((version, true))) => report.well(&format!("RabbitMQ {version}")),
        Ok(Some((version, false))) => report.finding(&format!(
            "RabbitMQ {version} does not spread partitions over replicas, because consumer priorities count for a single \
             active consumer from 4.0 on; all stays correct, and unbalanced"
        )),
        Ok(None) => {}
        Err(error) => report.unseen(&format!("RabbitMQ's version: {error:#}")),
    }
    let mut state = broker.state();
    let known = |state: &State| !matches!(state, State::Connecting(_));
    // Who does not answer in time is still connecting, and says why it is not through.
    let _late = tokio::time::timeout(CONNECTS, state.wait_for(known)).await.is_err();
    let found = state.borrow().clone();
    match found {
        State::Ready => report.well("every queue and exchange is as it must be"),
        State::Topology(why) => report.finding(&format!("{why}; `causeway topology apply` makes what is missing")),
        State::Blocked(why) => report.finding(&format!("RabbitMQ blocks publishers: {why}; free memory or disk")),
        State::Connecting(why) => report.unseen(&format!("RabbitMQ: {why}; check broker.url, and that it is up")),
    }
}

/// What `/readyz` of the running process has to tell, as far as it is trouble.
#[derive(Deserialize)]
struct Running {
    components: Vec<RunningComponent>,
    alarms: Vec<RunningAlarm>,
}

#[derive(Deserialize)]
struct RunningComponent {
    name: String,
    role: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct RunningAlarm {
    alarm: String,
    target: String,
    detail: String,
    since: Timestamp,
}

/// The alarms of the running process: some of what they tell of, only it can have seen.
async fn running(config: &Config, report: &mut Report) {
    let Running { components, alarms } = match ask(config, Method::GET, "/health").await {
        Ok(running) => running,
        Err(error) => return report.unseen(&format!("the alarms of the running process: {error:#}")),
    };
    let mut well = alarms.is_empty();
    for RunningAlarm { alarm, target, detail, since } in alarms {
        report.finding(&format!("alarm {alarm} of {target} since {since:.0}: {detail}"));
    }
    for RunningComponent { name, role, detail } in components {
        if let Some(detail) = detail {
            well = false;
            let of = role.map_or_else(String::new, |role| format!(" of {role}"));
            report.finding(&format!("the running process: {name}{of}: {detail}"));
        }
    }
    if well {
        report.well("the running process raises no alarm, and misses nothing");
    }
}

/// What only the management API tells.
async fn managed(config: &Config, report: &mut Report) {
    let found = match management(config) {
        Ok(Some(management)) => management.findings(&topology(config)).await,
        Ok(None) => {
            let told = "AMQP does not tell them; set broker.management_url_file";
            return report.unseen(&format!("RabbitMQ's alarms, policies, dead consumers and left-over queues: {told}"));
        }
        Err(error) => Err(error),
    };
    match found {
        Ok(found) if found.is_empty() => {
            report.well("RabbitMQ has no alarm, no policy that hurts, and no dead consumer")
        }
        Ok(found) => found.iter().for_each(|finding| report.finding(finding)),
        Err(error) => report.unseen(&format!("{error:#}")),
    }
}

fn look_at_queues(found: &[QueueReport], report: &mut Report) {
    let mut well = true;
    for queue in found {
        let name = &queue.queue;
        if name.starts_with("causeway.dead.") && queue.ready > 0 {
            well = false;
            let told = "`causeway dead-letters list` tells why";
            report.finding(&format!("{name} holds {} messages that nobody got; {told}", queue.ready));
        } else if !name.starts_with("causeway.dead.") && queue.consumers == Some(0) {
            well = false;
            let told = "start a process that plays the role";
            report.finding(&format!("{name} has no consumer, and {} messages wait; {told}", queue.ready));
        }
    }
    if well {
        report.well(&format!("{} queues, each with a consumer, and no dead letters", found.len()));
    }
}

async fn accounts(config: &Config, http: &HttpClient, clock: &Clock, ledger: Option<&Ledger>, report: &mut Report) {
    for provider in provider_doors(config, http, clock, ledger) {
        let looked = match look(config, &provider).await {
            // Who does not take the key does not tell the time either.
            Ok(mut findings) => look_at_clock(&provider).await.map(|clock| {
                findings.extend(clock);
                findings
            }),
            Err(error) => Err(error),
        };
        match looked {
            Ok(findings) => findings.iter().for_each(|finding| match finding {
                Finding::Well(told) => report.well(told),
                Finding::Note(told) => report.note(told),
                Finding::Wrong(told) => report.finding(told),
            }),
            Err(error @ (sms::SendError::AccountFault { .. } | sms::SendError::Blocked { .. })) => {
                report.finding(&error.to_string())
            }
            Err(error) => report.unseen(&error.to_string()),
        }
        subscriptions(config, &provider, clock.now(), report).await;
    }
}

/// Looks a file up that is not there, and writes nothing.
async fn files(config: &Config, http: &HttpClient, clock: &Clock, report: &mut Report) {
    let looked = match open_store(config, http, clock) {
        Ok(store) => store.look().await.map_err(anyhow::Error::new),
        Err(error) => Err(error),
    };
    match looked {
        Ok(()) => report.well("the store of files answers"),
        Err(error) => report.finding(&format!("{error:#}; check blobs.url, and who may use it")),
    }
}

/// Connects to every server that takes mail and logs in, and sends nothing.
async fn mail_servers(config: &Config, report: &mut Report) {
    for (name, provider) in mail::providers(config) {
        let sender = match mail::smtp(config, name, provider).map(|server| server.map(SmtpSender::new).transpose()) {
            Ok(Ok(Some(sender))) => sender,
            Ok(Ok(None)) => continue,
            Ok(Err(error)) | Err(error) => {
                report.finding(&format!("provider {name}: {error:#}"));
                continue;
            }
        };
        match sender.probe().await {
            Ok(()) => report.well(&format!("the mail server of provider {name} takes mail from us")),
            Err(Sending::LoginRefused { cause }) => report.finding(&cause),
            Err(Sending::Unavailable { cause }) => report.unseen(&cause),
            Err(other) => report.unseen(&format!("the mail server of provider {name}: {}", other.word())),
        }
    }
}

/// Opens every mailbox to look at it, and reads nothing.
async fn mailboxes(config: &Config, report: &mut Report) {
    for (name, provider) in mail::providers(config) {
        let all = match mail::mailboxes(config, name, provider) {
            Ok(all) => all,
            Err(error) => {
                report.finding(&format!("provider {name}: {error:#}"));
                continue;
            }
        };
        for mailbox in all {
            match email::mailbox::probe(&mailbox).await {
                Ok(()) => report.well(&format!("provider {name} opens the mailbox {}", mailbox.mailbox)),
                Err(error @ email::mailbox::ImapError::Unavailable { .. }) => report.unseen(&error.to_string()),
                Err(error) => report.finding(&error.to_string()),
            }
        }
    }
}

async fn ledger(config: &Config, clock: &Clock, report: &mut Report) -> Option<Ledger> {
    let ledger = match open_ledger_as_it_is(config, clock).await {
        Ok(ledger) => ledger,
        Err(error) => {
            match error {
                LedgerError::NotThere { .. } => report.note(&error.to_string()),
                LedgerError::Unavailable(_) => report.unseen(&error.to_string()),
                LedgerError::Older { .. } | LedgerError::Open { .. } => report.finding(&error.to_string()),
            }
            return None;
        }
    };
    match ledger.check().await {
        Ok(at) => {
            let apart = at.duration_since(clock.now()).abs();
            if apart > CLOCKS_DIFFER {
                let told = "set the clocks of both machines by the same time server";
                report.finding(&format!("the ledger's clock and this one differ by {} s; {told}", apart.as_secs()));
            } else {
                report.well("the ledger answers, and its clock is right");
            }
        }
        Err(error) => report.unseen(&format!("the ledger: {error}")),
    }
    Some(ledger)
}
