//! Which providers are watched beside their doors, and how.

use std::collections::BTreeSet;

use model::NeighbourName;
use runtime::{AlarmKind, Tasks};

use super::open::Parts;
use crate::config::{ChannelKind, Config, ProviderKind, Pull};

/// Whether a process with the role ingress needs the ledger.
pub(super) fn is_needed(config: &Config) -> bool {
    watched(config).next().is_some()
}

fn watched(config: &Config) -> impl Iterator<Item = (&crate::config::Provider, &Pull)> {
    config.providers.iter().filter_map(|provider| match &provider.kind {
        ProviderKind::NetSapiens(settings) => {
            let pull = settings.pull.as_ref();
            (pull.poll.is_some() || pull.subscribe == Some(true)).then_some((provider, pull))
        }
        ProviderKind::Email(_) => None,
    })
}

/// What of a provider is subscribed to, where it is.
fn subscribe(config: &Config, pull: &Pull) -> Option<ingress::Subscribe> {
    let public_url = config.http.public_url.clone().filter(|_| pull.subscribe == Some(true))?;
    Some(ingress::Subscribe { public_url, preferred_server: pull.preferred_server.clone() })
}

/// What of a provider is subscribed to, and whose events, for commands.
pub(crate) fn subscribed(config: &Config, provider: &NeighbourName) -> Option<(ingress::Subscribe, BTreeSet<String>)> {
    let (_, pull) = watched(config).find(|(one, _)| one.name == *provider)?;
    let users = config.channels.iter().filter(|channel| channel.provider == *provider);
    let users = users.filter_map(|channel| match &channel.kind {
        ChannelKind::Sms { user, .. } => Some(user.clone()),
        ChannelKind::Email(_) => None,
    });
    Some((subscribe(config, pull)?, users.collect()))
}

pub(super) fn spawn(tasks: &mut Tasks, room: &ingress::Room, ledger: &ledger::Ledger, parts: &Parts<'_>) {
    for (provider, pull) in watched(parts.config) {
        let plan = ingress::Watch {
            provider: provider.name.clone(),
            poll: pull.poll,
            max_age: pull.max_inbound_age.unwrap_or_default(),
            begin: pull.catch_up_from,
            subscribe: subscribe(parts.config, pull),
            expiring: parts.health.alarm(AlarmKind::SubscriptionExpiring, provider.name.as_str()),
        };
        let watch = ingress::watch(plan, room.clone(), ledger.clone(), parts.shutdown.clone());
        tasks.spawn(format!("watch of {}", provider.name), watch);
    }
}
