//! What must hold where consumers' messages go into tasks of Open Media.

use model::NeighbourName;
use serde_json::Value;

use super::section::Section;
use super::settings::Genesys;

/// What `inbound = "open-media"` needs, and what it cannot do.
pub(super) fn open_media(
    section: &Section<'_>,
    sms: bool,
    genesys: Option<&NeighbourName>,
    tenants: &[Option<Genesys>],
) {
    let told = "open-media is one way: agents see these messages as tasks and cannot answer them there; what they write \
                elsewhere reaches the consumer only where Genesys posts it to this channel's webhook";
    section.warn("inbound", told);
    let tenant = tenants.iter().flatten().find(|tenant| Some(&tenant.name) == genesys);
    if let Some(tenant) = tenant.filter(|tenant| tenant.api_key.is_none()) {
        let told = format!("open-media needs an API key, and [[genesys]] {} has none", tenant.name);
        let instead = "api_key_file = \"/run/secrets/…\" in that table, or inbound = \"messages\"";
        section.problem("inbound", told, instead);
    }
    if !sms && section.has("open_media_idle") {
        section.warn("open_media_idle", "has no effect: each mail has a task of its own, which agents end");
    }
    if section.value("media").and_then(Value::as_str) == Some("rich-media") {
        section.warn("media", "rich-media is not possible with inbound = \"open-media\": files are given as links");
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Inbound, Loaded, Problems, Source, load};

    const SMALL: &str = r#"
[[genesys]]
name = "main"
base_url = "https://nexus.example.com/nexus/v3"
ccid = "c"
api_key = "k"
[[provider]]
name = "crexendo"
kind = "netsapiens"
base_url = "https://core1.example.com/ns-api/v2"
domain = "example.com"
auth = { kind = "api-key", key = "k" }
webhook_secrets = ["h"]
delivered_when = "accepted"
[[channel]]
id = "0123456789"
name = "sales"
kind = "sms"
user = "9000"
secrets = ["s"]
inbound = "open-media"
open_media_service = "sms-in"
"#;

    fn read(text: &str) -> Result<Loaded, Problems> {
        load(&Source { file: "c.toml", text, environment: Vec::new() }, true)
    }

    #[test]
    fn open_media_is_said_to_be_one_way_and_needs_a_key() {
        let loaded = read(SMALL).unwrap_or_else(|problems| panic!("{problems}"));
        let expected = Inbound::OpenMedia { service: "sms-in".to_owned(), idle: None };
        assert_eq!(loaded.config.channels[0].inbound, expected, "nothing is ended by itself where nobody asks for it");
        let warned = |loaded: &Loaded, what: &str| loaded.warnings.iter().any(|warning| warning.contains(what));
        assert!(warned(&loaded, "cannot answer them there"), "{:?}", loaded.warnings);
        let told = read(&SMALL.replace("api_key = \"k\"\n", "")).expect_err("there is no key").to_string();
        assert!(
            told.contains("channel \"sales\".inbound: open-media needs an API key, and [[genesys]] main"),
            "{told}"
        );
        let rich = read(&format!("{SMALL}media = \"rich-media\"\n")).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(warned(&rich, "files are given as links"), "{:?}", rich.warnings);
    }
}
