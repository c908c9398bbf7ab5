//! The mail servers of a configuration, as the mail crate is told of them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use consumer_outbound::{Evidence, Leave, MailAccount, MailChannel};
use email::listen::{ListenConfig, Refusals, ServerTls};
use email::mailbox::{ImapConfig, ImapLimits};
use email::outgoing::{DkimKey, SmtpConfig, SmtpSender};
use email::{LeaveKeys, Login, SecretSource};
use model::NeighbourName;
use runtime::{AlarmKind, Backoff, Health};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::media;
use crate::config::{
    Channel, ChannelKind, Config, DeliveredWhen, EmailProvider, ListUnsubscribe, MailLogin, MailSecret, ProviderKind,
    WhenUnsure,
};

/// Between tries to reach a mailbox.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// The mail providers of a configuration.
pub fn providers(config: &Config) -> impl Iterator<Item = (&NeighbourName, &EmailProvider)> {
    config.providers.iter().filter_map(|provider| match &provider.kind {
        ProviderKind::Email(settings) => Some((&provider.name, settings.as_ref())),
        ProviderKind::NetSapiens(_) => None,
    })
}

/// The server that takes mail of a provider; `None` where it sends none.
///
/// # Errors
/// A file of the configuration that cannot be read.
pub fn smtp(config: &Config, name: &NeighbourName, provider: &EmailProvider) -> anyhow::Result<Option<SmtpConfig>> {
    let Some(smtp) = &provider.smtp else { return Ok(None) };
    let server = &smtp.server;
    Ok(Some(SmtpConfig {
        target: name.to_string(),
        host: server.host.clone(),
        port: server.port,
        security: server.security,
        login: server.login.as_ref().map(login),
        hello: provider.hello.clone(),
        connections: smtp.connections,
        connect_timeout: server.connect_timeout,
        step_timeout: consumer_outbound::MAIL_STEP,
        bytes_a_second: consumer_outbound::MAIL_PACE,
        answer_timeout: smtp.answer_timeout,
        idle: smtp.idle,
        reports: provider.delivered_when == DeliveredWhen::Dsn,
        authorities: authorities(config, provider)?,
    }))
}

/// The listener of a provider, and its address; `None` where it has none.
///
/// # Errors
/// A certificate that cannot be read, or the folder for large mails cannot be made.
pub fn listen(name: &NeighbourName, provider: &EmailProvider) -> anyhow::Result<Option<(SocketAddr, ListenConfig)>> {
    let Some(listen) = &provider.listen else { return Ok(None) };
    make_spool(&provider.spool)?;
    let tls = listen.tls.as_ref().map(|tls| ServerTls::load(&tls.cert_file, &tls.key_file)).transpose()?;
    let settings = ListenConfig {
        name: provider.hello.clone(),
        allowed: listen.allow.clone(),
        domains: provider.domains.clone(),
        bounce_address: provider.bounce_address.clone(),
        tls,
        require_tls: listen.require_tls,
        spool: provider.spool.clone(),
        limits: listen.limits.clone(),
        refusals: Refusals::new(name.as_str()),
    };
    Ok(Some((listen.address, settings)))
}

/// The mailboxes of a provider; none where it has none.
///
/// # Errors
/// A file of the configuration that cannot be read.
pub fn mailboxes(config: &Config, name: &NeighbourName, provider: &EmailProvider) -> anyhow::Result<Vec<ImapConfig>> {
    let Some(imap) = &provider.imap else { return Ok(Vec::new()) };
    let server = &imap.server;
    let Some(login) = server.login.as_ref().map(login) else { return Ok(Vec::new()) };
    let authorities = authorities(config, provider)?;
    let one = |mailbox: &String| ImapConfig {
        target: name.to_string(),
        host: server.host.clone(),
        port: server.port,
        security: server.security,
        login: login.clone(),
        mailbox: mailbox.clone(),
        every: imap.every,
        backoff: BACKOFF,
        connect_timeout: server.connect_timeout,
        command_timeout: imap.command_timeout,
        spool: provider.spool.clone(),
        limits: ImapLimits { mail_bytes: imap.mail_limit, ..ImapLimits::default() },
        authorities: authorities.clone(),
    };
    Ok(imap.mailboxes.iter().map(one).collect())
}

/// What signs mail of a domain; `None` where nothing does.
///
/// # Errors
/// A key that cannot sign for it.
pub fn dkim(provider: &EmailProvider, domain: &str) -> anyhow::Result<Option<DkimKey>> {
    let Some(dkim) = &provider.dkim else { return Ok(None) };
    let domain = dkim.domain.as_deref().unwrap_or(domain);
    let key = DkimKey::read(domain, &dkim.selector, dkim.key.expose_secret().as_bytes());
    key.map(Some).context("dkim cannot sign")
}

/// The accounts that send mail.
pub(super) fn accounts(config: &Config, health: &Health) -> anyhow::Result<Vec<MailAccount>> {
    let account = |(name, settings): (&NeighbourName, &EmailProvider)| {
        let server = smtp(config, name, settings)?;
        Ok(MailAccount {
            name: name.clone(),
            places: Semaphore::new(server.as_ref().map_or(1, |server| server.connections.max(1))),
            sender: server.map(SmtpSender::new).transpose()?,
            evidence: match settings.delivered_when {
                DeliveredWhen::Accepted => Evidence::Accepted,
                DeliveredWhen::Dsn => Evidence::Reported,
                DeliveredWhen::Never => Evidence::Never,
            },
            bounce_address: settings.bounce_address.clone().unwrap_or_default(),
            paused: health.alarm(AlarmKind::AccountPaused, name.as_str()),
            maybe_sent: health.alarm(AlarmKind::MaybeSent, name.as_str()),
        })
    };
    providers(config).map(account).collect()
}

/// The channels that send mail.
pub(super) fn channels(config: &Config) -> anyhow::Result<Vec<MailChannel>> {
    let one = |channel: &Channel| {
        let ChannelKind::Email(kind) = &channel.kind else { return Ok(None) };
        let tenant = config.genesys.iter().find(|tenant| tenant.name == channel.genesys);
        let Some((_, provider)) = providers(config).find(|(name, _)| **name == channel.provider) else {
            return Ok(None);
        };
        Ok(Some(MailChannel {
            name: channel.name.clone(),
            provider: channel.provider.clone(),
            id: channel.id.clone(),
            ccid: tenant.map(|tenant| tenant.ccid.clone()).unwrap_or_default(),
            when_unsure: match channel.policy.when_unsure {
                WhenUnsure::Park => consumer_outbound::WhenUnsure::Park,
                WhenUnsure::Resend => consumer_outbound::WhenUnsure::Resend,
            },
            dkim: dkim(provider, channel.id.as_str())?,
            files: consumer_outbound::Limits { types: channel.media.types.clone(), size: channel.media.limit },
            leave: leave(config, kind.list_unsubscribe),
            reply_token: kind.reply_token,
        }))
    };
    config.channels.iter().filter_map(|channel| one(channel).transpose()).collect()
}

fn leave(config: &Config, by: ListUnsubscribe) -> Leave {
    let keys = leave_keys(config).filter(|_| by != ListUnsubscribe::Off);
    match (by, keys, &config.http.public_url) {
        (ListUnsubscribe::Mailto, Some(keys), _) => Leave::Mailto(keys),
        (ListUnsubscribe::Url, Some(keys), Some(public_url)) => Leave::Url { keys, public_url: public_url.clone() },
        _ => Leave::Off,
    }
}

/// What the route that unsubscribes needs to know.
pub(super) fn leave_book(config: &Config) -> ingress::LeaveBook {
    let mail = config.channels.iter().filter(|channel| matches!(channel.kind, ChannelKind::Email(_)));
    ingress::LeaveBook {
        keys: leave_keys(config),
        channels: mail.map(|channel| (channel.name.clone(), channel.provider.clone())).collect(),
    }
}

/// What signs the wish to leave: the keys of `[blobs]`.
pub fn leave_keys(config: &Config) -> Option<LeaveKeys> {
    LeaveKeys::new(media::signing_keys(config))
}

fn login(login: &MailLogin) -> Login {
    let secret = match &login.secret {
        MailSecret::Given(secret) => SecretSource::fixed(secret.clone()),
        MailSecret::File(path) => {
            let path = path.clone();
            SecretSource::new(move || {
                let path = path.clone();
                async move {
                    let text = tokio::fs::read_to_string(&path).await;
                    let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
                    let cut =
                        text.strip_suffix('\n').map_or(text.as_str(), |cut| cut.strip_suffix('\r').unwrap_or(cut));
                    Ok(SecretString::from(cut))
                }
            })
        }
    };
    Login { user: login.user.clone(), kind: login.kind, secret }
}

fn authorities(config: &Config, provider: &EmailProvider) -> anyhow::Result<Vec<Vec<u8>>> {
    let files = config.net.ca_files.iter().chain(&provider.ca_files);
    files.map(|path| std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))).collect()
}

/// Makes the folder for large mails.
///
/// # Errors
/// It cannot be made.
pub fn make_spool(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("spool: the folder {} cannot be made", path.display()))
}
