//! Publishing with confirms.

use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::watch;
use tokio::time::timeout;

use super::told;
use crate::topology::EXCHANGE;
use crate::{PublishError, QueueName, State};

/// For one confirm. A webhook is answered within two seconds whatever the broker does.
const CONFIRM: Duration = Duration::from_millis(1500);

/// Publishes and returns when the broker has stored it: an ack with nothing returned is the only success.
pub(super) async fn publish(
    channel: &Channel,
    state: &mut watch::Receiver<State>,
    queue: &QueueName,
    properties: BasicProperties,
    body: &[u8],
) -> Result<(), PublishError> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let name = queue.to_string();
    let storing = async {
        let confirm = channel.basic_publish(EXCHANGE.into(), name.as_str().into(), options, body, properties).await?;
        confirm.await
    };
    let confirmation = tokio::select! {
        confirmation = timeout(CONFIRM, storing) => confirmation.map_err(|_| PublishError::TimedOut)?,
        blocked = blocked(state) => return Err(blocked),
    };
    match confirmation.map_err(|error| PublishError::Unavailable(told(&error)))? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            Err(PublishError::Refused(format!("queue {queue}: {}", returned.reply_text)))
        }
        Confirmation::Nack(None) => Err(PublishError::Refused(format!("queue {queue} refused it"))),
        Confirmation::NotRequested => Err(PublishError::Refused("the channel is without confirms".to_owned())),
    }
}

/// A publisher that was blocked in the middle of a publish may hear nothing more for hours.
async fn blocked(state: &mut watch::Receiver<State>) -> PublishError {
    let found = state.wait_for(|state| matches!(state, State::Blocked(_) | State::Connecting(_))).await;
    match found.as_deref() {
        Ok(State::Blocked(why)) => PublishError::Blocked(why.clone()),
        Ok(State::Connecting(why)) => PublishError::Unavailable(why.clone()),
        Ok(_) | Err(_) => PublishError::Unavailable("the connection is closed".to_owned()),
    }
}
