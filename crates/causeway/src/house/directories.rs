//! What each room must know of neighbours and channels, built from one configuration, and built again when a secret changes.

use std::sync::Arc;

use blobs::{Keys, Links, Store};
use genesys_outbound::{MediaChannel, MediaDirectory, MediaSource};
use ledger::Ledger;
use model::NeighbourName;
use runtime::{AlarmKind, Clock, Health, HttpClient};
use secrecy::ExposeSecret;
use sms::Provider;
use sms::netsapiens::TokenStore;
use tokio::sync::watch;

use super::accounts::Tokens;
use super::{mail, media};
use crate::config::{
    Auth, ChannelKind, Config, DeliveredWhen, Inbound, Login, NetSapiensProvider, ProviderKind, WhenUnsure,
};

/// The directories of all rooms.
pub(crate) struct Directories {
    pub(crate) webhook: watch::Sender<Arc<webhook_ingest::Channels>>,
    pub(crate) ingress: watch::Sender<Arc<ingress::Directory>>,
    pub(crate) genesys: watch::Sender<Arc<genesys::Directory>>,
    pub(crate) sources: watch::Sender<Arc<genesys_outbound::Sources>>,
    pub(crate) consumer: watch::Sender<Arc<consumer_outbound::Directory>>,
    pub(crate) leave: watch::Sender<Arc<ingress::LeaveBook>>,
    pub(crate) media: watch::Sender<Arc<MediaDirectory>>,
    pub(crate) store: Store,
    pub(crate) media_keys: watch::Sender<Option<Arc<Keys>>>,
    pub(crate) media_links: watch::Sender<Option<Arc<Links>>>,
    doors: Doors,
}

/// What clients of neighbours are made of.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) http: HttpClient,
    pub(crate) clock: Clock,
    pub(crate) health: Health,
    /// Where tokens are shared; a process that only takes in needs none.
    pub(crate) ledger: Option<Ledger>,
}

impl Directories {
    pub(crate) fn new(config: &Config, doors: Doors, store: Store) -> anyhow::Result<Self> {
        let providers = providers(config, &doors.http, &doors.clock, doors.ledger.as_ref());
        let keys = media::keys(config);
        Ok(Self {
            webhook: watch::Sender::new(Arc::new(webhook(config))),
            ingress: watch::Sender::new(Arc::new(ingress(config, &providers))),
            genesys: watch::Sender::new(Arc::new(genesys_directory(config, &doors))),
            sources: watch::Sender::new(Arc::new(sources(config, &providers))),
            consumer: watch::Sender::new(Arc::new(consumer(config, &providers, &doors)?)),
            leave: watch::Sender::new(Arc::new(mail::leave_book(config))),
            media: watch::Sender::new(Arc::new(media_directory(config, &providers))),
            store,
            media_links: watch::Sender::new(media::links(config, keys.as_ref())),
            media_keys: watch::Sender::new(keys),
            doors,
        })
    }

    /// Gives every room what a changed configuration says.
    pub(crate) fn replace(&self, config: &Config) {
        let providers = providers(config, &self.doors.http, &self.doors.clock, self.doors.ledger.as_ref());
        self.webhook.send_replace(Arc::new(webhook(config)));
        self.ingress.send_replace(Arc::new(ingress(config, &providers)));
        self.genesys.send_replace(Arc::new(genesys_directory(config, &self.doors)));
        self.sources.send_replace(Arc::new(sources(config, &providers)));
        match consumer(config, &providers, &self.doors) {
            Ok(consumer) => drop(self.consumer.send_replace(Arc::new(consumer))),
            Err(error) => tracing::error!(error = format!("{error:#}"), "mail is sent as before the change"),
        }
        self.media.send_replace(Arc::new(media_directory(config, &providers)));
        self.leave.send_replace(Arc::new(mail::leave_book(config)));
        let keys = media::keys(config);
        self.media_links.send_replace(media::links(config, keys.as_ref()));
        self.media_keys.send_replace(keys);
    }
}

fn webhook(config: &Config) -> webhook_ingest::Channels {
    webhook_ingest::Channels::new(config.channels.iter().map(|channel| webhook_ingest::Channel {
        name: channel.name.clone(),
        id: channel.id.clone(),
        kind: match &channel.kind {
            ChannelKind::Sms { country, .. } => webhook_ingest::Kind::Sms { country: *country },
            ChannelKind::Email(_) => webhook_ingest::Kind::Email,
        },
        genesys: channel.genesys.clone(),
        provider: channel.provider.clone(),
        secrets: channel.secrets.clone(),
    }))
}

fn netsapiens(config: &Config) -> impl Iterator<Item = (&NeighbourName, &NetSapiensProvider)> {
    config.providers.iter().filter_map(|provider| match &provider.kind {
        ProviderKind::NetSapiens(settings) => Some((&provider.name, settings.as_ref())),
        ProviderKind::Email(_) => None,
    })
}

fn login(login: &Login) -> sms::netsapiens::Login {
    sms::netsapiens::Login {
        client_id: login.client_id.clone(),
        client_secret: login.client_secret.clone(),
        username: login.username.expose_secret().to_owned(),
        password: login.password.clone(),
    }
}

fn providers(config: &Config, http: &HttpClient, clock: &Clock, ledger: Option<&Ledger>) -> Vec<Provider> {
    let store = ledger.map(|ledger| Arc::new(Tokens(ledger.clone())) as Arc<dyn TokenStore>);
    let one = |(name, settings): (&NeighbourName, &NetSapiensProvider)| {
        let own_numbers = config.channels.iter().filter(|channel| channel.provider == *name);
        let own_numbers = own_numbers.filter_map(|channel| match &channel.kind {
            ChannelKind::Sms { number, .. } => Some(number.chars().filter(char::is_ascii_digit).collect()),
            ChannelKind::Email(_) => None,
        });
        let account = sms::netsapiens::Config {
            name: name.clone(),
            base_url: settings.base_url.clone(),
            domain: settings.domain.clone(),
            auth: match &settings.auth {
                Auth::ApiKey(key) => sms::netsapiens::Auth::ApiKey(key.clone()),
                Auth::OAuth(given) => sms::netsapiens::Auth::OAuth(login(given)),
                Auth::Jwt(given) => sms::netsapiens::Auth::Jwt(login(given)),
            },
            webhook_secrets: settings.webhook_secrets.clone(),
            time_zone: settings.time_zone.clone(),
            own_numbers: own_numbers.collect(),
            media_hosts: settings.media_hosts.clone(),
        };
        Provider::netsapiens(account, http.clone(), clock.clone(), store.clone())
    };
    netsapiens(config).map(one).collect()
}

fn ingress(config: &Config, providers: &[Provider]) -> ingress::Directory {
    let channels = config.channels.iter().filter_map(|channel| match &channel.kind {
        ChannelKind::Sms { user, number, country, consent, .. } => Some(ingress::Channel {
            name: channel.name.clone(),
            genesys: channel.genesys.clone(),
            provider: channel.provider.clone(),
            user: user.clone(),
            number: number.clone(),
            country: *country,
            keywords: consent.as_ref().map(|consent| consent.keywords.clone()),
        }),
        ChannelKind::Email(_) => None,
    });
    ingress::Directory::new(providers.iter().cloned(), channels)
}

fn media_directory(config: &Config, providers: &[Provider]) -> MediaDirectory {
    MediaDirectory::new(config.channels.iter().filter_map(|channel| {
        let source = match &channel.kind {
            ChannelKind::Sms { user, .. } => Some(MediaSource {
                provider: providers.iter().find(|provider| *provider.name() == channel.provider)?.clone(),
                user: user.clone(),
            }),
            ChannelKind::Email(_) => None,
        };
        Some(MediaChannel {
            name: channel.name.clone(),
            source,
            form: channel.media.form,
            types: channel.media.types.clone(),
            limit: channel.media.limit,
        })
    }))
}

fn sources(config: &Config, providers: &[Provider]) -> genesys_outbound::Sources {
    let sources = config.channels.iter().filter_map(|channel| {
        let ChannelKind::Sms { user, number, country, consent, .. } = &channel.kind else { return None };
        let provider = providers.iter().find(|provider| *provider.name() == channel.provider)?;
        let (_, settings) = netsapiens(config).find(|(name, _)| **name == channel.provider)?;
        Some(genesys_outbound::Source {
            provider: provider.clone(),
            user: user.clone(),
            number: number.clone(),
            destination: sms::Destination {
                provider: channel.provider.clone(),
                channel: channel.name.clone(),
                genesys: channel.genesys.clone(),
                country: *country,
                keywords: consent.as_ref().map(|consent| consent.keywords.clone()),
            },
            max_age: settings.pull.max_inbound_age.unwrap_or_default(),
            begin: settings.pull.catch_up_from,
        })
    });
    genesys_outbound::Sources::new(sources)
}

fn tenant_clients<'a>(
    config: &'a Config,
    http: &'a HttpClient,
    clock: &'a Clock,
) -> impl Iterator<Item = (NeighbourName, genesys::Client)> + 'a {
    config.genesys.iter().map(move |tenant| {
        let settings = genesys::Tenant {
            name: tenant.name.clone(),
            base_url: tenant.base_url.clone(),
            ccid: tenant.ccid.clone(),
            channel_api_key: tenant.api_key.clone().filter(|_| tenant.send_api_key),
            send_message_id: tenant.send_message_id,
            media_signature: tenant.media_signature,
            open_media: genesys::OpenMediaAccess { api_key: tenant.api_key.clone(), wrapper: tenant.open_media_body },
        };
        (tenant.name.clone(), genesys::Client::new(settings, http.clone(), clock.clone()))
    })
}

fn access(channel: &crate::config::Channel) -> genesys::ChannelAccess {
    genesys::ChannelAccess { name: channel.name.clone(), id: channel.id.clone(), secrets: channel.secrets.clone() }
}

/// The client of a tenant, for commands.
pub(crate) fn tenant_door(config: &Config, name: &str, http: &HttpClient, clock: &Clock) -> Option<genesys::Client> {
    tenant_clients(config, http, clock).find(|(known, _)| known.as_str() == name).map(|(_, client)| client)
}

/// Every channel with the client of its tenant, for commands.
pub(crate) fn genesys_doors(
    config: &Config,
    http: &HttpClient,
    clock: &Clock,
) -> Vec<(genesys::ChannelAccess, genesys::Client)> {
    let clients: Vec<_> = tenant_clients(config, http, clock).collect();
    let door = |channel: &crate::config::Channel| {
        let (_, client) = clients.iter().find(|(name, _)| *name == channel.genesys)?;
        Some((access(channel), client.clone()))
    };
    config.channels.iter().filter_map(door).collect()
}

/// Every provider account, for commands; with a ledger, they log in as the running processes do.
pub(crate) fn provider_doors(
    config: &Config,
    http: &HttpClient,
    clock: &Clock,
    ledger: Option<&Ledger>,
) -> Vec<Provider> {
    providers(config, http, clock, ledger)
}

fn open_media(channel: &crate::config::Channel) -> Option<genesys::OpenMediaService> {
    match &channel.inbound {
        Inbound::Messages => None,
        Inbound::OpenMedia { service, idle } => Some(genesys::OpenMediaService { name: service.clone(), idle: *idle }),
    }
}

fn genesys_directory(config: &Config, doors: &Doors) -> genesys::Directory {
    let channels = config.channels.iter().map(|channel| genesys::Channel {
        access: access(channel),
        genesys: channel.genesys.clone(),
        fault: doors.health.alarm(AlarmKind::ChannelFault, channel.name.as_str()),
        open_media: open_media(channel),
    });
    let paused = |tenant: &crate::config::Genesys| {
        (tenant.name.clone(), doors.health.alarm(AlarmKind::AccountPaused, tenant.name.as_str()))
    };
    genesys::Directory::new(tenant_clients(config, &doors.http, &doors.clock), channels)
        .with_pauses(config.genesys.iter().map(paused))
}

fn consumer(config: &Config, providers: &[Provider], doors: &Doors) -> anyhow::Result<consumer_outbound::Directory> {
    let accounts = providers.iter().filter_map(|provider| {
        let (_, settings) = netsapiens(config).find(|(name, _)| *name == provider.name())?;
        Some(consumer_outbound::Account {
            provider: provider.clone(),
            accepted_is_delivered: settings.delivered_when == DeliveredWhen::Accepted,
            reconcile_at: settings.reconcile_at.clone(),
            paused: doors.health.alarm(AlarmKind::AccountPaused, provider.name().as_str()),
            maybe_sent: doors.health.alarm(AlarmKind::MaybeSent, provider.name().as_str()),
        })
    });
    let channels = config.channels.iter().filter_map(|channel| match &channel.kind {
        ChannelKind::Sms { user, number, texts, consent, groups, mms, .. } => Some(consumer_outbound::Channel {
            name: channel.name.clone(),
            provider: channel.provider.clone(),
            user: user.clone(),
            number: number.clone(),
            groups: *groups,
            when_unsure: match channel.policy.when_unsure {
                WhenUnsure::Park => consumer_outbound::WhenUnsure::Park,
                WhenUnsure::Resend => consumer_outbound::WhenUnsure::Resend,
            },
            texts: consumer_outbound::Texts {
                fold: texts.fold,
                max_characters: texts.max_characters,
                max_segments: texts.max_segments,
            },
            pictures: consumer_outbound::Pictures {
                limits: consumer_outbound::Limits { types: channel.media.types.clone(), size: channel.media.limit },
                mms: mms.mode,
                mms_types: mms.types.clone(),
                mms_limit: mms.limit,
            },
            consent: consent.as_ref().map(|consent| consumer_outbound::Answers {
                stop: consent.stop.clone(),
                start: consent.start.clone(),
                help: consent.help.clone(),
            }),
            // Genesys has an alarm of its own about the same channel.
            fault: {
                let target = consumer_outbound::number_target(&channel.provider, &channel.name);
                doors.health.alarm(AlarmKind::ChannelFault, &target)
            },
        }),
        ChannelKind::Email(_) => None,
    });
    let (offices, boxes) = (mail::accounts(config, &doors.health)?, mail::channels(config)?);
    Ok(consumer_outbound::Directory::new(accounts, channels).with_mail(offices, boxes))
}
