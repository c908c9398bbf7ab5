//! Ends tasks that nothing was put into for as long as their channel says.

use std::sync::Arc;
use std::time::Duration;

use genesys::{Channel, Client, Directory, OpenMediaService};
use ledger::{InteractionState, KeptInteraction, Ledger, LedgerError};
use runtime::{Clock, Shutdown};
use tokio::sync::watch;

use crate::tasks::stop;

/// What this needs.
pub struct IdleDeps {
    /// Tenants and channels.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// What was put where.
    pub ledger: Ledger,
    /// The time.
    pub clock: Clock,
}

/// Between two looks, at the most; and at the least.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Looks for tasks that are idle until the shutdown. Several replicas may do so: each task is claimed by one of them, and one
/// whose end was begun by a replica that died is ended by the next.
///
/// # Errors
/// None today; the signature is that of every part of a house.
pub async fn end_idle_tasks(deps: IdleDeps, shutdown: Shutdown) -> anyhow::Result<()> {
    loop {
        let directory = Arc::clone(&deps.directory.borrow());
        let mut pause = LOOKS.1;
        for (channel, client) in directory.channels() {
            let Some((service, idle)) = channel.open_media.as_ref().and_then(|one| Some((one, one.idle?))) else {
                continue;
            };
            pause = pause.min((idle / 4).max(LOOKS.0));
            if let Err(error) = look(&deps, channel, client, service, idle).await {
                tracing::warn!(channel = %channel.access.name, %error, "idle tasks could not be looked for");
            }
        }
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn look(
    deps: &IdleDeps,
    channel: &Channel,
    client: &Client,
    service: &OpenMediaService,
    idle: Duration,
) -> Result<(), LedgerError> {
    let now = deps.clock.now();
    let since = now.saturating_sub(jiff::SignedDuration::try_from(idle).unwrap_or_default()).unwrap_or(now);
    for KeptInteraction { consumer, mut interaction, mut version } in
        deps.ledger.idle_interactions(&channel.access.name, since).await?
    {
        // Claimed before it is ended, so that no message is on its way into it; whoever brings one begins the next task.
        if interaction.state == InteractionState::Open {
            interaction.state = InteractionState::Ending;
            let name = &channel.access.name;
            match deps.ledger.put_interaction(name, consumer.expose(), version, &interaction).await? {
                Some(claimed) => version = claimed,
                None => continue,
            }
        }
        match stop(client, service, &interaction).await {
            Ok(()) => {
                interaction.state = InteractionState::Ended;
                deps.ledger.put_interaction(&channel.access.name, consumer.expose(), version, &interaction).await?;
            }
            Err(refusal) => {
                tracing::warn!(channel = %channel.access.name, %refusal, "an idle task could not be ended; it is tried again");
            }
        }
    }
    Ok(())
}
