use serde::{Deserialize, Serialize};

use crate::Private;

/// Files a consumer sent, which are fetched from the provider by whoever gives them to the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundFiles {
    /// What the consumer wrote beside them. The message's own text also says that there is a file: it is for a program that
    /// is older than files, and runs beside this one during an upgrade.
    pub caption: Private<String>,
    /// The files, in the consumer's order.
    pub list: Vec<InboundFile>,
}

/// One of them, as the provider told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundFile {
    /// Where the provider has it; may have expired, or not been told.
    pub url: Option<Private<String>>,
    /// What the provider says that it is.
    pub media_type: Option<String>,
    /// How many bytes the provider says that it has.
    pub size: Option<u64>,
    /// The provider's id of the row that holds it, under which it is asked again.
    pub row: Option<String>,
    /// Why it is not passed on, where that was known when the message came in; it is not looked for then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl InboundFiles {
    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
