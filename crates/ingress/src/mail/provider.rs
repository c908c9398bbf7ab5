use std::path::PathBuf;

use email::{LEAVE_ADDRESS, LeaveKeys};
use model::{Address, ChannelName, NeighbourName, Private};
use runtime::Fading;

/// One mail channel.
#[derive(Debug, Clone)]
pub struct MailChannel {
    /// Its name.
    pub name: ChannelName,
    /// Its tenant.
    pub genesys: NeighbourName,
    /// Its domain.
    pub domain: String,
    /// The types of files that are taken, by their first bytes.
    pub types: Vec<String>,
    /// The most bytes one may have.
    pub limit: u64,
}

/// One mail provider and its channels.
#[derive(Debug)]
pub struct MailProvider {
    /// Its name.
    pub name: NeighbourName,
    /// The domains mail is taken for.
    pub domains: Vec<String>,
    /// The address bounces are sent to, without its token.
    pub bounce_address: Option<String>,
    /// Where large attachments wait while they are read.
    pub spool: PathBuf,
    /// Its channels, of which a domain that is no channel's own has the first.
    pub channels: Vec<MailChannel>,
    /// What signs the addresses by which consumers unsubscribe; `None` where there are none.
    pub leave: Option<LeaveKeys>,
    /// Raised while something answers itself.
    pub looping: Fading,
}

impl MailProvider {
    /// The channels a mail is for, each with the first of its addresses.
    pub(crate) fn channels_of(&self, addressed: &[Private<String>]) -> Vec<(&MailChannel, Private<String>)> {
        let mut found: Vec<(&MailChannel, Private<String>)> = Vec::new();
        for address in addressed.iter().filter(|address| !self.is_bounce_address(address.expose())) {
            let Some(channel) = self.channel_of(address.expose()) else { continue };
            if !found.iter().any(|(known, _)| known.name == channel.name) {
                found.push((channel, address.clone()));
            }
        }
        found
    }

    /// The channels whose mail the sender wants no more: it came to the address that they were given for that.
    pub(crate) fn left_by(&self, from: &Address, addressed: &[Private<String>]) -> Vec<&MailChannel> {
        let Some(keys) = &self.leave else { return Vec::new() };
        let left = |address: &Private<String>| {
            let (local, _) = address.expose().rsplit_once('@')?;
            let (name, token) = local.split_once('+')?;
            let channel = self.channel_of(address.expose())?;
            let ours = name.eq_ignore_ascii_case(LEAVE_ADDRESS) && keys.is_from(&channel.name, from, token);
            ours.then_some(channel)
        };
        addressed.iter().filter_map(left).collect()
    }

    fn channel_of(&self, address: &str) -> Option<&MailChannel> {
        let (_, domain) = address.rsplit_once('@')?;
        let own = self.channels.iter().find(|channel| channel.domain.eq_ignore_ascii_case(domain));
        let ours = || self.domains.iter().any(|known| known.eq_ignore_ascii_case(domain));
        own.or_else(|| self.channels.first().filter(|_| ours()))
    }

    /// Whether it is where bounces go, with a token or without.
    pub(crate) fn is_bounce_address(&self, address: &str) -> bool {
        self.bounce_address.as_deref().is_some_and(|own| without_token(address).eq_ignore_ascii_case(own))
    }
}

/// `help+token@company.com` as `help@company.com`.
pub(crate) fn without_token(address: &str) -> String {
    let plain = address.rsplit_once('@').and_then(|(local, domain)| Some((local.split_once('+')?.0, domain)));
    plain
        .filter(|(local, _)| !local.is_empty())
        .map_or_else(|| address.to_owned(), |(local, domain)| format!("{local}@{domain}"))
}
