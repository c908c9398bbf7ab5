//! Provider accounts: where their tokens are kept, and a look at them when the house opens.

use std::fmt;
use std::time::Duration;

use consumer_outbound::Mms;
use ledger::Ledger;
use model::NeighbourName;
use runtime::{Alarm, AlarmKind, Health, Shutdown};
use sms::netsapiens::{ClockFinding, ExpectedNumber, NumberFinding, Stored, TokenStore};
use sms::{Provider, SendError};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{ChannelKind, Config};

/// Until an account that did not answer is looked at again.
const AGAIN: Duration = Duration::from_secs(60);
/// How often the clocks of accounts are looked at.
const CLOCKS_EVERY: Duration = Duration::from_secs(300);

/// Tokens in the ledger, which every replica has.
#[derive(Clone)]
pub(super) struct Tokens(pub(super) Ledger);

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tokens")
    }
}

impl TokenStore for Tokens {
    fn read<'a>(&'a self, name: &'a str) -> Stored<'a, Option<(String, u64)>> {
        Box::pin(async move {
            let found = self.0.mark(name).await.map_err(|error| error.to_string())?;
            Ok(found.map(|mark| (mark.value, mark.version)))
        })
    }

    fn put<'a>(&'a self, name: &'a str, expected: u64, value: &'a str) -> Stored<'a, bool> {
        Box::pin(async move {
            let put = self.0.put_mark(name, expected, value).await.map_err(|error| error.to_string())?;
            Ok(put.is_some())
        })
    }

    fn lease<'a>(&'a self, name: &'a str, owner: &'a str, long: Duration) -> Stored<'a, bool> {
        Box::pin(async move {
            let lease = self.0.lease(name, owner, long).await.map_err(|error| error.to_string())?;
            Ok(lease.is_yours())
        })
    }

    fn release<'a>(&'a self, name: &'a str, owner: &'a str) -> Stored<'a, ()> {
        Box::pin(async move { self.0.release_lease(name, owner).await.map_err(|error| error.to_string()) })
    }
}

/// What there is to say of an account.
#[derive(Debug)]
pub(crate) enum Finding {
    /// It is well.
    Well(String),
    /// It works, and this is worth to know.
    Note(String),
    /// Something to mend.
    Wrong(String),
}

impl Finding {
    fn wrong(self) -> Option<String> {
        match self {
            Self::Wrong(told) => Some(told),
            Self::Well(_) | Self::Note(_) => None,
        }
    }
}

/// The numbers that channels have on an account.
fn expected(config: &Config, provider: &NeighbourName) -> Vec<ExpectedNumber> {
    let channels = config.channels.iter().filter(|channel| channel.provider == *provider);
    let numbers = channels.filter_map(|channel| match &channel.kind {
        ChannelKind::Sms { user, number, groups, mms, .. } => Some(ExpectedNumber {
            channel: channel.name.clone(),
            user: user.clone(),
            number: number.clone(),
            pictures_always: mms.mode == Mms::Always,
            groups: *groups,
        }),
        ChannelKind::Email(_) => None,
    });
    numbers.collect()
}

/// Looks at an account and at the numbers of its channels, and makes nothing.
pub(crate) async fn look(config: &Config, provider: &Provider) -> Result<Vec<Finding>, SendError> {
    let mut findings: Vec<Finding> = provider.check().await?.into_iter().map(Finding::Wrong).collect();
    if findings.is_empty() {
        findings.push(Finding::Well(format!("provider {} takes the key", provider.name())));
    }
    let Some(account) = provider.as_netsapiens() else { return Ok(findings) };
    let expected = expected(config, provider.name());
    let found = match account.check_numbers(&expected).await {
        Ok(found) => found,
        Err(SendError::Blocked { cause }) => {
            findings.push(Finding::Wrong(format!("{cause}; the channels' numbers are not checked")));
            return Ok(findings);
        }
        Err(SendError::AccountFault { .. }) => {
            // A key may be good for messages alone.
            let told = "its key may not list SMS numbers, so the channels' are not checked";
            findings.push(Finding::Note(format!("provider {}: {told}", provider.name())));
            return Ok(findings);
        }
        Err(error) => return Err(error),
    };
    if found.iter().all(|finding| matches!(finding, NumberFinding::Note(_))) {
        findings.push(Finding::Well(format!("provider {} has the numbers of its channels", provider.name())));
    }
    findings.extend(found.into_iter().map(|finding| match finding {
        NumberFinding::Wrong(told) => Finding::Wrong(told),
        NumberFinding::Note(told) => Finding::Note(told),
    }));
    Ok(findings)
}

/// Compares an account's clock with ours, and its zone with the configured one.
pub(crate) async fn look_at_clock(provider: &Provider) -> Result<Vec<Finding>, SendError> {
    let Some(account) = provider.as_netsapiens() else { return Ok(Vec::new()) };
    let found = account.check_clock().await?;
    if found.is_empty() {
        return Ok(vec![Finding::Well(format!("provider {} has the time, in the zone it should", provider.name()))]);
    }
    let told = |finding| match finding {
        ClockFinding::Zone(told) | ClockFinding::Drift(told) => Finding::Wrong(told),
        ClockFinding::Untold(told) => Finding::Note(told),
    };
    Ok(found.into_iter().map(told).collect())
}

/// Looks at the clocks of all accounts from the start on, and holds the alarm while one is not as it should be.
pub(super) async fn watch_clocks(providers: Vec<Provider>, health: Health, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = interval(CLOCKS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => {}
        }
        for provider in &providers {
            let looked = tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                looked = look_at_clock(provider) => looked,
            };
            // One that does not answer is told of by whatever else is asked of it.
            let Ok(findings) = looked else { continue };
            let alarm = health.alarm(AlarmKind::Clock, provider.name().as_str());
            let wrong: Vec<String> = findings.into_iter().filter_map(Finding::wrong).collect();
            if wrong.is_empty() { alarm.clear() } else { alarm.raise(wrong.join("; ")) }
        }
    }
}

/// Looks at every account until each has answered, and tells what there is to mend before the first reply meets it.
pub(super) async fn look_at_start(
    config: Config,
    providers: Vec<Provider>,
    health: Health,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let paused = |name: &NeighbourName| health.alarm(AlarmKind::AccountPaused, name.as_str());
    let mut left: Vec<Waiting> = providers.into_iter().map(|one| (paused(one.name()), one, false)).collect();
    while !left.is_empty() {
        let mut next = Vec::new();
        for (alarm, provider, raised) in left {
            let looked = tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                looked = look(&config, &provider) => looked,
            };
            match looked {
                Ok(findings) => {
                    findings.iter().for_each(tell);
                    if raised {
                        alarm.clear();
                    }
                }
                Err(SendError::AccountFault { cause } | SendError::Blocked { cause }) => {
                    alarm.raise(cause);
                    next.push((alarm, provider, true));
                }
                Err(error) => {
                    tracing::info!(%error, "an account is not looked at yet");
                    next.push((alarm, provider, raised));
                }
            }
        }
        left = next;
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            () = tokio::time::sleep(AGAIN), if !left.is_empty() => {}
            else => {}
        }
    }
    Ok(())
}

/// An account that is still to be looked at, its alarm, and whether that was raised here.
type Waiting = (Alarm, Provider, bool);

fn tell(finding: &Finding) {
    match finding {
        Finding::Well(told) => tracing::debug!("{told}"),
        Finding::Note(told) => tracing::info!("{told}"),
        Finding::Wrong(told) => tracing::warn!("{told}"),
    }
}
