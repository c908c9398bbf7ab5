//! SMS numbers: which there are, and whether the channels' are what they must be (section 6).

use bytes::Bytes;
use http::Method;
use model::ChannelName;

use super::account::Account;
use super::answer;
use super::fields::{Fields, same_number};
use super::records::{SmsNumber, Version};
use crate::{Pictures, SendError};

/// Numbers of a domain that are read.
const MOST: usize = 10_000;

/// A number a channel stands on.
#[derive(Debug, Clone)]
pub struct ExpectedNumber {
    /// The channel, which is what findings name.
    pub channel: ChannelName,
    /// The user that should own it.
    pub user: String,
    /// The number.
    pub number: String,
    /// Whether pictures are sent from it whatever the provider says.
    pub pictures_always: bool,
    /// Whether groups are written to from it.
    pub groups: bool,
}

/// What is to be said of a channel's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberFinding {
    /// It cannot work like this; what to do.
    Wrong(String),
    /// It works, and this is worth to know.
    Note(String),
}

impl Account {
    /// The SMS numbers of a user, or of the domain.
    ///
    /// # Errors
    /// [`SendError`]: they could not be listed.
    pub async fn numbers(&self, user: Option<&str>) -> Result<Vec<SmsNumber>, SendError> {
        let path = format!("{}/smsnumbers", self.scope(user));
        let rows = self.all_rows("list-numbers", &path, &["number"], MOST).await?;
        Ok(rows.iter().filter_map(SmsNumber::read).collect())
    }

    /// How many SMS numbers a user has, or the domain.
    ///
    /// # Errors
    /// [`SendError`]: they could not be counted.
    pub async fn count_numbers(&self, user: Option<&str>) -> Result<u64, SendError> {
        let Some(user) = user else {
            // The domain's are not counted by the server.
            return Ok(self.numbers(None).await?.len() as u64);
        };
        let path = format!("{}/smsnumbers/count", self.scope(Some(user)));
        let answered = self.exchange("count-numbers", Method::GET, &path, Bytes::new()).await;
        let body = answer::json(self.name(), answered, self.now())?;
        let total = Fields::of(&body).first(&["total", "count"]).and_then(|total| total.parse().ok());
        total.ok_or_else(|| SendError::Later {
            after: None,
            throttled: false,
            cause: format!("provider {} answered with something that is no count", self.name()),
        })
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// [`SendError`]: it does not.
    pub async fn version(&self) -> Result<Version, SendError> {
        let answered = self.exchange("version", Method::GET, "/version", Bytes::new()).await;
        let body = answer::json(self.name(), answered, self.now())?;
        Ok(Version::read(&body, &self.config().time_zone))
    }

    /// Whether a number of a user sends pictures.
    pub(crate) async fn pictures(&self, user: &str, number: &str) -> Result<Pictures, SendError> {
        let numbers = self.numbers(Some(user)).await?;
        let found = numbers.iter().find(|found| same_number(&found.number, number));
        let says = |said: fn(&SmsNumber) -> Option<bool>| found.and_then(said).unwrap_or(false);
        Ok(Pictures { to_one: says(|one| one.mms_capable), to_groups: says(|one| one.group_mms_capable) })
    }

    /// Whether the numbers of channels are there, belong to their users, and send texts.
    ///
    /// # Errors
    /// [`SendError`]: they could not be listed.
    pub async fn check_numbers(&self, expected: &[ExpectedNumber]) -> Result<Vec<NumberFinding>, SendError> {
        let numbers = self.numbers(None).await?;
        Ok(expected.iter().flat_map(|one| findings(one, &numbers, self.name().as_str())).collect())
    }
}

/// The number itself is never told: findings are logged.
fn findings(expected: &ExpectedNumber, numbers: &[SmsNumber], account: &str) -> Vec<NumberFinding> {
    let ExpectedNumber { channel, user, number, .. } = expected;
    let Some(found) = numbers.iter().find(|found| same_number(&found.number, number)) else {
        let told = format!(
            "channel {channel}: provider {account} has no SMS number like its own; check the channel's number, and the \
             provider's domain"
        );
        return vec![NumberFinding::Wrong(told)];
    };
    let mut findings = Vec::new();
    let application = found.application.as_deref().unwrap_or("user");
    if application != "user" {
        let told = format!(
            "channel {channel}: its number is routed to \"{application}\" at provider {account}, so that NetSapiens answers \
             by itself or nobody gets its texts; assign it to user {user} (application \"user\")"
        );
        findings.push(NumberFinding::Wrong(told));
    } else if found.owner.as_deref().is_some_and(|owner| owner.split('@').next() != Some(user.as_str())) {
        let owner = found.owner.as_deref().unwrap_or_default();
        let told = format!(
            "channel {channel}: its number belongs to user {owner} at provider {account}, which refuses sends by another; \
             write user = \"{owner}\", or assign the number to user {user}"
        );
        findings.push(NumberFinding::Wrong(told));
    }
    findings.extend(pictures(found, expected, account));
    findings
}

/// What is to be said of the pictures a number sends. With `mms = "always"` they are sent all the same, and are lost.
fn pictures(found: &SmsNumber, expected: &ExpectedNumber, account: &str) -> Vec<NumberFinding> {
    let ExpectedNumber { channel, pictures_always, groups, .. } = expected;
    let told = |key: &str, what: &str, group: &str| {
        let fact =
            format!("channel {channel}: its number sends no pictures{what} ({key} is false at provider {account})");
        match pictures_always {
            true => NumberFinding::Wrong(format!(
                "{fact}, and mms = \"always\" has them sent{group}; write mms = \"auto\" or \"never\", or have the number \
                 provisioned for pictures"
            )),
            false => NumberFinding::Note(format!("{fact}; links are sent instead")),
        }
    };
    let mut findings = Vec::new();
    if found.mms_capable == Some(false) {
        findings.push(told("mms-capable", "", ""));
    }
    if *groups && found.group_mms_capable == Some(false) {
        findings.push(told("group-mms-capable", " to groups", " to groups, too"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(row: &Value) -> Vec<NumberFinding> {
        let numbers: Vec<SmsNumber> = SmsNumber::read(row).into_iter().collect();
        let (channel, user, number) = (ChannelName::new("sales"), "9000".to_owned(), "+1 312-555-0100".to_owned());
        let expected = ExpectedNumber { channel, user, number, pictures_always: false, groups: false };
        findings(&expected, &numbers, "crexendo")
    }

    #[test]
    fn pictures_that_a_number_does_not_send_are_a_finding_where_they_are_sent() {
        let row = json!({ "number": "13125550100", "mms-capable": false, "group-mms-capable": "no" });
        let numbers: Vec<SmsNumber> = SmsNumber::read(&row).into_iter().collect();
        let expected = |pictures_always, groups| {
            let (channel, user, number) = (ChannelName::new("sales"), "9000".to_owned(), "13125550100".to_owned());
            findings(&ExpectedNumber { channel, user, number, pictures_always, groups }, &numbers, "crexendo")
        };
        assert!(matches!(expected(false, false).as_slice(), [NumberFinding::Note(_)]));
        let both = expected(false, true);
        assert!(
            matches!(&both[..], [NumberFinding::Note(_), NumberFinding::Note(of)] if of.contains("to groups")),
            "{both:?}"
        );
        let always = expected(true, true);
        let [NumberFinding::Wrong(one), NumberFinding::Wrong(group)] = always.as_slice() else { panic!("{always:?}") };
        assert!(one.contains("mms = \"auto\"") && group.contains("group-mms-capable"), "{one} {group}");
    }

    #[test]
    fn a_mismatch_names_its_channel_and_what_to_do() {
        let right = json!({ "number": 13125550100_u64, "application": "user", "dest": 9000, "mms-capable": "yes" });
        assert_eq!(told(&right), []);
        assert_eq!(told(&json!({ "number": "3125550100" })), [], "some carriers' rows omit the rest");
        let with = |key: &str, value: Value| {
            let mut row = right.clone();
            row[key] = value;
            told(&row)
        };
        for (found, expected) in [
            (with("number", json!("13125550199")), "check the channel's number"),
            (with("dest", json!("9001")), "write user = \"9001\""),
            (with("application", json!("callqueue")), "routed to \"callqueue\""),
            (with("application", json!("available")), "assign it to user 9000"),
        ] {
            let [NumberFinding::Wrong(told)] = found.as_slice() else { panic!("{found:?}") };
            assert!(told.starts_with("channel sales:") && told.contains(expected), "{told}");
            assert!(!told.contains("312555"), "nobody's number is told");
        }
        assert!(matches!(with("mms-capable", json!(false)).as_slice(), [NumberFinding::Note(_)]));
        assert!(matches!(with("mms-capable", json!(0)).as_slice(), [NumberFinding::Note(_)]));
        assert_eq!(with("dest", json!("9000@example.com")), []);
    }
}
