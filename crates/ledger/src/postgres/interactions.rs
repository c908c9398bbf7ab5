//! One statement each, which is a transaction of its own.

use jiff::Timestamp;
use model::ChannelName;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::fault::Fault;
use super::link::Link;
use super::{digest, millis, text, unknown};
use crate::interactions::{IDLE, KeptInteraction, Put, Raw, written};

const FIND: &str = "SELECT consumer, value, version FROM causeway.interactions WHERE key = $1";
const MAKE: &str = "INSERT INTO causeway.interactions (key, channel, consumer, value, state, version, touched_at)
    VALUES ($1, $2, $3, $4, $5, 1, $6) ON CONFLICT (key) DO NOTHING RETURNING version";
const CHANGE: &str = "UPDATE causeway.interactions SET value = $2, state = $3, version = version + 1, touched_at = $4
    WHERE key = $1 AND version = $5 RETURNING version";
const OLD: &str = "SELECT consumer, value, version FROM causeway.interactions
    WHERE channel = $1 AND state = $2 AND touched_at < $3 ORDER BY touched_at LIMIT $4";

fn fault(error: Error) -> Fault {
    Fault::of(&error)
}

fn key(channel: &ChannelName, consumer: &str) -> Vec<u8> {
    digest(&[channel.as_str(), consumer])
}

pub(super) async fn find(link: &Link, channel: &ChannelName, consumer: &str) -> Result<Option<KeptInteraction>, Fault> {
    let row = link.client.query_opt(FIND, &[&key(channel, consumer)]).await.map_err(fault)?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn put(link: &Link, put: &Put, now: Timestamp) -> Result<Option<u64>, Fault> {
    let (key, at) = (key(&put.channel, &put.consumer), millis(now));
    let (value, state) = (text(&written(&put.interaction)), put.interaction.state.word());
    let row = if put.expected == 0 {
        let (channel, consumer) = (text(put.channel.as_str()), text(&put.consumer));
        link.client.query_opt(MAKE, &[&key, &channel, &consumer, &value, &state, &at]).await
    } else {
        link.client.query_opt(CHANGE, &[&key, &value, &state, &at, &put.expected]).await
    };
    let version = row.map_err(fault)?.map(|row| row.try_get::<_, i64>(0)).transpose().map_err(fault)?;
    Ok(version.and_then(|version| u64::try_from(version).ok()))
}

pub(super) async fn idle(link: &Link, channel: &ChannelName, since: Timestamp) -> Result<Vec<KeptInteraction>, Fault> {
    let (channel, limit) = (text(channel.as_str()), i64::from(IDLE));
    let mut found = Vec::new();
    for (state, before) in [("ending", i64::MAX), ("open", millis(since))] {
        let parameters: [&(dyn ToSql + Sync); 4] = [&channel, &state, &before, &limit];
        for row in link.client.query(OLD, &parameters).await.map_err(fault)? {
            found.push(read(&row)?);
        }
    }
    found.truncate(IDLE as usize);
    Ok(found)
}

pub(super) fn read(row: &Row) -> Result<KeptInteraction, Fault> {
    let raw = Raw {
        consumer: row.try_get(0).map_err(fault)?,
        value: row.try_get(1).map_err(fault)?,
        version: row.try_get(2).map_err(fault)?,
    };
    raw.read().ok_or_else(|| Fault::Refused(unknown("an interaction")))
}
