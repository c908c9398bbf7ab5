//! Consumers' mail: what is listened on, which mailboxes are watched, and how the agent is given it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use email::listen::ListenConfig;
use genesys_outbound::{MailAs, Mails};
use ingress::{Listen, MailProvider, MailRoom, MailWatch, listen, watch_mailbox};
use model::NeighbourName;
use runtime::{AlarmKind, Clock, Fading, Health, Need, Shutdown, Tasks};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use super::Role;
use super::mail;
use super::open::{Parts, bind};
use crate::config::{ChannelKind, Config, EmailAs, EmailProvider};

/// An alarm about a loop is over when nothing looped for so long.
const QUIET: Duration = Duration::from_secs(3600);
/// How often that is looked at.
const FADE: Duration = Duration::from_secs(60);

/// Whether a process with the role ingress watches mailboxes, and so needs the ledger.
pub(super) fn is_watching(config: &Config) -> bool {
    mail::providers(config).any(|(_, provider)| provider.imap.is_some())
}

/// A port that mail comes in by.
pub(super) struct Door {
    name: NeighbourName,
    listener: TcpListener,
    config: ListenConfig,
}

impl Door {
    pub(super) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Opens the ports of all providers that listen.
pub(super) async fn open(config: &Config, roles: &BTreeSet<Role>) -> anyhow::Result<Vec<Door>> {
    let mut doors = Vec::new();
    for (name, provider) in mail::providers(config).filter(|_| roles.contains(&Role::Ingress)) {
        let Some((address, config)) = mail::listen(name, provider)? else { continue };
        let listener = bind(address, &format!("listen of provider {name}")).await?;
        doors.push(Door { name: name.clone(), listener, config });
    }
    Ok(doors)
}

/// Starts what takes mail in.
pub(super) fn spawn(tasks: &mut Tasks, doors: Vec<Door>, parts: &Parts<'_>) -> anyhow::Result<()> {
    let mut fading = Vec::new();
    let mut doors = doors.into_iter().map(Some).collect::<Vec<_>>();
    for (name, settings) in mail::providers(parts.config) {
        let provider = Arc::new(provider(parts, name, settings));
        fading.push(provider.looping.clone());
        let store = parts.directories.store.clone();
        let room = MailRoom::new(provider, parts.broker.clone(), store, parts.clock.clone());
        let of_it = |door: &&mut Option<Door>| door.as_ref().is_some_and(|door| door.name == *name);
        if let Some(Door { listener, config, .. }) = doors.iter_mut().find(of_it).and_then(Option::take) {
            let door = Listen { listener, config, lag: parts.config.stop.lag };
            tasks.spawn(format!("mail listener of {name}"), listen(door, room.clone(), parts.shutdown.clone()));
        }
        watch_mailboxes(tasks, name, settings, &room, parts)?;
    }
    tasks.spawn("alarms of mail", fade(fading, parts.shutdown.clone()));
    Ok(())
}

fn watch_mailboxes(
    tasks: &mut Tasks,
    name: &NeighbourName,
    settings: &EmailProvider,
    room: &MailRoom,
    parts: &Parts<'_>,
) -> anyhow::Result<()> {
    let Some(ledger) = parts.ledger else { return Ok(()) };
    let mailboxes = mail::mailboxes(parts.config, name, settings)?;
    if !mailboxes.is_empty() {
        mail::make_spool(&settings.spool)?;
    }
    for config in mailboxes {
        let called = format!("{name}/{}", config.mailbox);
        let plan = MailWatch {
            config,
            max_age: settings.max_inbound_age.unwrap_or_default(),
            begin: settings.catch_up_from,
            component: parts.health.component_of(Role::Ingress.word(), &format!("mailbox {called}"), Need::Reported),
            refused: parts.health.alarm(AlarmKind::AccountPaused, &called),
        };
        let watch = watch_mailbox(plan, room.clone(), ledger.clone(), parts.shutdown.clone());
        tasks.spawn(format!("watch of mailbox {called}"), watch);
    }
    Ok(())
}

fn provider(parts: &Parts<'_>, name: &NeighbourName, settings: &EmailProvider) -> MailProvider {
    let channels = parts.config.channels.iter().filter(|channel| channel.provider == *name);
    let channels = channels.filter(|channel| matches!(channel.kind, ChannelKind::Email(_)));
    MailProvider {
        name: name.clone(),
        domains: settings.domains.clone(),
        bounce_address: settings.bounce_address.clone(),
        spool: settings.spool.clone(),
        channels: channels
            .map(|channel| ingress::MailChannel {
                name: channel.name.clone(),
                genesys: channel.genesys.clone(),
                domain: channel.id.to_string(),
                types: channel.media.types.clone(),
                limit: channel.media.limit,
            })
            .collect(),
        leave: mail::leave_keys(parts.config),
        looping: fading(parts.health, parts.clock, name.as_str()),
    }
}

fn fading(health: &Health, clock: &Clock, target: &str) -> Fading {
    Fading::new(health.alarm(AlarmKind::Loop, target), clock.clone(), QUIET)
}

/// How each channel's mail is given to agents; what holds back too many of one sender fades here as well.
pub(super) fn mails(tasks: &mut Tasks, parts: &Parts<'_>) -> Mails {
    let mut all = Vec::new();
    for channel in &parts.config.channels {
        let ChannelKind::Email(settings) = &channel.kind else { continue };
        let provider = mail::providers(parts.config).find(|(name, _)| **name == channel.provider);
        all.push(genesys_outbound::MailChannel {
            name: channel.name.clone(),
            mail_as: match settings.email_as {
                EmailAs::Email => MailAs::Email,
                EmailAs::Text => MailAs::Text,
            },
            max_per_sender: provider.and_then(|(_, provider)| provider.max_per_sender),
            looping: fading(parts.health, parts.clock, channel.name.as_str()),
        });
    }
    let held = all.iter().map(|channel| channel.looping.clone()).collect();
    tasks.spawn("alarms of held mail", fade(held, parts.shutdown.clone()));
    Mails::new(all)
}

async fn fade(alarms: Vec<Fading>, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = interval(FADE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => alarms.iter().for_each(Fading::fade),
        }
    }
}
