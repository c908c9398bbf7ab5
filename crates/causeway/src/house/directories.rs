//! What each room must know of neighbours and channels, built from one configuration, and built again when a secret changes.

use std::sync::Arc;

use model::NeighbourName;
use runtime::{AlarmKind, Clock, Health, HttpClient};
use sms::Provider;
use tokio::sync::watch;

use crate::config::{Auth, ChannelKind, Config, DeliveredWhen, NetSapiensProvider, ProviderKind, WhenUnsure};

/// The directories of all rooms.
pub(crate) struct Directories {
    pub(crate) webhook: watch::Sender<Arc<webhook_ingest::Channels>>,
    pub(crate) ingress: watch::Sender<Arc<ingress::Directory>>,
    pub(crate) genesys: watch::Sender<Arc<genesys::Directory>>,
    pub(crate) consumer: watch::Sender<Arc<consumer_outbound::Directory>>,
    doors: Doors,
}

/// What clients of neighbours are made of.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) http: HttpClient,
    pub(crate) clock: Clock,
    pub(crate) health: Health,
}

impl Directories {
    pub(crate) fn new(config: &Config, doors: Doors) -> Self {
        let providers = providers(config, &doors.http, &doors.clock);
        Self {
            webhook: watch::Sender::new(Arc::new(webhook(config))),
            ingress: watch::Sender::new(Arc::new(ingress(config, &providers))),
            genesys: watch::Sender::new(Arc::new(genesys_directory(config, &doors))),
            consumer: watch::Sender::new(Arc::new(consumer(config, &providers, &doors))),
            doors,
        }
    }

    /// Gives every room what a changed configuration says.
    pub(crate) fn replace(&self, config: &Config) {
        let providers = providers(config, &self.doors.http, &self.doors.clock);
        self.webhook.send_replace(Arc::new(webhook(config)));
        self.ingress.send_replace(Arc::new(ingress(config, &providers)));
        self.genesys.send_replace(Arc::new(genesys_directory(config, &self.doors)));
        self.consumer.send_replace(Arc::new(consumer(config, &providers, &self.doors)));
    }
}

fn webhook(config: &Config) -> webhook_ingest::Channels {
    webhook_ingest::Channels::new(config.channels.iter().map(|channel| webhook_ingest::Channel {
        name: channel.name.clone(),
        id: channel.id.clone(),
        kind: match &channel.kind {
            ChannelKind::Sms { country, .. } => webhook_ingest::Kind::Sms { country: *country },
            ChannelKind::Email => webhook_ingest::Kind::Email,
        },
        genesys: channel.genesys.clone(),
        provider: channel.provider.clone(),
        secrets: channel.secrets.clone(),
    }))
}

fn netsapiens(config: &Config) -> impl Iterator<Item = (&NeighbourName, &NetSapiensProvider)> {
    config.providers.iter().filter_map(|provider| match &provider.kind {
        ProviderKind::NetSapiens(settings) => Some((&provider.name, settings)),
        ProviderKind::Email(_) => None,
    })
}

fn providers(config: &Config, http: &HttpClient, clock: &Clock) -> Vec<Provider> {
    let one = |(name, settings): (&NeighbourName, &NetSapiensProvider)| {
        let Auth::ApiKey(api_key) = &settings.auth else { return None };
        let own_numbers = config.channels.iter().filter(|channel| channel.provider == *name);
        let own_numbers = own_numbers.filter_map(|channel| match &channel.kind {
            ChannelKind::Sms { number, .. } => Some(number.chars().filter(char::is_ascii_digit).collect()),
            ChannelKind::Email => None,
        });
        let account = sms::netsapiens::Config {
            name: name.clone(),
            base_url: settings.base_url.clone(),
            domain: settings.domain.clone(),
            api_key: api_key.clone(),
            webhook_secrets: settings.webhook_secrets.clone(),
            time_zone: settings.time_zone.clone(),
            own_numbers: own_numbers.collect(),
        };
        Some(Provider::netsapiens(account, http.clone(), clock.clone()))
    };
    netsapiens(config).filter_map(one).collect()
}

fn ingress(config: &Config, providers: &[Provider]) -> ingress::Directory {
    let channels = config.channels.iter().filter_map(|channel| match &channel.kind {
        ChannelKind::Sms { number, country, .. } => Some(ingress::Channel {
            name: channel.name.clone(),
            genesys: channel.genesys.clone(),
            provider: channel.provider.clone(),
            number: number.clone(),
            country: *country,
        }),
        ChannelKind::Email => None,
    });
    ingress::Directory::new(providers.iter().cloned(), channels)
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
        };
        (tenant.name.clone(), genesys::Client::new(settings, http.clone(), clock.clone()))
    })
}

fn access(channel: &crate::config::Channel) -> genesys::ChannelAccess {
    genesys::ChannelAccess { name: channel.name.clone(), id: channel.id.clone(), secrets: channel.secrets.clone() }
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

/// Every provider account, for commands.
pub(crate) fn provider_doors(config: &Config, http: &HttpClient, clock: &Clock) -> Vec<Provider> {
    providers(config, http, clock)
}

fn genesys_directory(config: &Config, doors: &Doors) -> genesys::Directory {
    let channels = config.channels.iter().map(|channel| genesys::Channel {
        access: access(channel),
        genesys: channel.genesys.clone(),
        fault: doors.health.alarm(AlarmKind::ChannelFault, channel.name.as_str()),
    });
    let paused = |tenant: &crate::config::Genesys| {
        (tenant.name.clone(), doors.health.alarm(AlarmKind::AccountPaused, tenant.name.as_str()))
    };
    genesys::Directory::new(tenant_clients(config, &doors.http, &doors.clock), channels)
        .with_pauses(config.genesys.iter().map(paused))
}

fn consumer(config: &Config, providers: &[Provider], doors: &Doors) -> consumer_outbound::Directory {
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
        ChannelKind::Sms { user, number, .. } => Some(consumer_outbound::Channel {
            name: channel.name.clone(),
            provider: channel.provider.clone(),
            user: user.clone(),
            number: number.clone(),
            when_unsure: match channel.policy.when_unsure {
                WhenUnsure::Park => consumer_outbound::WhenUnsure::Park,
                WhenUnsure::Resend => consumer_outbound::WhenUnsure::Resend,
            },
        }),
        ChannelKind::Email => None,
    });
    consumer_outbound::Directory::new(accounts, channels)
}
