use std::time::Duration;

use super::*;

/// The sample of the design's section 3.2, key for key: every key printed there is accepted.
const CONTRACT: &str = include_str!("../../tests/contract.toml");

pub(super) const SMALL: &str = r#"
[[genesys]]
name = "main"
base_url = "https://nexus.example.com/nexus/v3"
ccid = "c"
[[provider]]
name = "crexendo"
kind = "netsapiens"
base_url = "https://core1.example.com/ns-api/v2"
domain = "example.com"
auth = { kind = "api-key", key = "k3y-material" }
webhook_secrets = ["hook-material"]
delivered_when = "accepted"
[[channel]]
id = "0123456789"
name = "sales"
kind = "sms"
user = "9000"
secrets = ["s3cret-material"]
"#;

pub(super) fn read(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    load(&Source { file: "c.toml", text, environment }, false)
}

fn problems(text: &str, environment: &[(&str, &str)]) -> String {
    read(text, environment).map(|_| ()).expect_err("the configuration is wrong").to_string()
}

#[test]
fn the_contract_sample_is_accepted() {
    let loaded = read(CONTRACT, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.config.channels.len(), 2);
    assert!(matches!(loaded.config.broker, broker::Config::RabbitMq(_)));
}

#[test]
fn a_login_needs_all_of_its_parts_and_none_is_shown() {
    let key = r#"auth = { kind = "api-key", key = "k3y-material" }"#;
    let with = |auth: &str| SMALL.replace(key, auth);
    for kind in ["oauth", "jwt"] {
        let whole = with(&format!(
            r#"auth = {{ kind = "{kind}", client_id = "bridge", client_secret = "cl13nt", username = "1001@example.com", password = "pa55" }}"#
        ));
        let loaded = read(&whole, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!loaded.shown.contains("cl13nt") && !loaded.shown.contains("pa55"), "{}", loaded.shown);
        assert!(!loaded.warnings.iter().any(|warning| warning.contains("auth")), "{:?}", loaded.warnings);
        let told = problems(&with(&format!(r#"auth = {{ kind = "{kind}" }}"#)), &[]);
        for missing in ["client_id", "client_secret", "username", "password"] {
            assert!(told.contains(&format!("auth.{missing}")), "{missing}: {told}");
        }
    }
}

#[test]
fn the_reference_says_the_defaults() {
    let reference = read(REFERENCE, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let defaults = read(SMALL, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let tables = |shown: &str| -> toml::Table {
        let mut all: toml::Table = toml::from_str(shown).unwrap();
        for neighbours in ["genesys", "provider", "channel"] {
            all.remove(neighbours);
        }
        all["http"].as_table_mut().unwrap().remove("public_url");
        all
    };
    assert_eq!(tables(&reference.shown), tables(&defaults.shown));
    assert_eq!(tables(&defaults.shown)["broker"]["partitions"].as_integer(), Some(4), "numbers are shown as numbers");
}

#[test]
fn every_commented_key_of_the_reference_is_a_real_one() {
    let mut text = String::new();
    for line in REFERENCE.lines() {
        let commented =
            line.strip_prefix("# ").filter(|rest| rest.split_once(" = ").is_some_and(|(key, _)| is_key(key)));
        let (section, rest) = (line.strip_prefix("# ["), commented.unwrap_or(line));
        let line = section.map_or_else(|| rest.to_owned(), |name| format!("[{name}"));
        // The keys of the other kind stand beside the defaults, and a table may hold each key once.
        let defaults = [
            "kind = \"embedded\"",
            "path = \"data/broker\"",
            "kind = \"sqlite\"",
            "path = \"data/ledger.db\"",
            "auth = { kind = \"api-key\"",
        ];
        if !defaults.iter().any(|default| line.starts_with(default)) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    let text = text
        .replace("[broker]", "[broker]\nkind = \"rabbitmq\"")
        .replace("[ledger]", "[ledger]\nkind = \"postgres\"")
        .replace("\"file:data/blobs\"", "\"s3://bucket/prefix\"");
    let loaded = read(&text, &[]).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert!(loaded.config.http.tls.is_some(), "the commented keys were read");
}

fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[test]
fn all_problems_are_told_at_once_with_the_nearest_key() {
    let text = SMALL
        .replace("user =", "usr =")
        .replace("domain =", "domian =")
        .replace("delivered_when = \"accepted\"", "")
        .replace("ccid = \"c\"", "ccid = \"\"");
    let told = problems(&format!("[http]\nlisten = 5\nbody_limt = \"1 MiB\"\n{text}"), &[]);
    for expected in [
        "c.toml: http.listen: cannot be read; write an address",
        "c.toml: http.body_limt: is not a key of this table; write `body_limit`",
        "c.toml: genesys \"main\".ccid: is empty",
        "c.toml: provider \"crexendo\".domian: is not a key of this table; write `domain`",
        "c.toml: provider \"crexendo\".delivered_when: is missing: NetSapiens has no delivery reports",
        "c.toml: channel \"sales\".usr: is not a key of this table; write `user`",
        "c.toml: channel \"sales\".user: is missing",
    ] {
        assert!(told.contains(expected), "missing: {expected}\nin:\n{told}");
    }
}

#[test]
fn the_environment_overrides_and_takes_the_type_of_its_key() {
    let loaded = read(
        SMALL,
        &[
            ("CAUSEWAY__BROKER__PARTITIONS", "12"),
            ("CAUSEWAY__CHANNEL__SALES__USER", "9001"),
            ("CAUSEWAY__GENESYS__MAIN__SEND_MESSAGE_ID", "false"),
            ("CAUSEWAY__PROVIDER__CREXENDO__RECONCILE__AT", "1s,2s"),
            ("CAUSEWAY_PORT", "tcp://10.0.0.1:80"),
        ],
    )
    .unwrap_or_else(|problems| panic!("{problems}"));
    let config = loaded.config;
    assert_eq!(config.partitions, 12);
    assert!(!config.genesys[0].send_message_id);
    assert!(matches!(&config.channels[0].kind, ChannelKind::Sms { user, .. } if user == "9001"));
    let ProviderKind::NetSapiens(provider) = &config.providers[0].kind else { panic!("it is NetSapiens") };
    assert_eq!(provider.reconcile_at.len(), 2);
}

#[test]
fn problems_of_the_environment_name_the_variable() {
    let told = problems(SMALL, &[("CAUSEWAY__CHANNEL__SALE__USER", "1"), ("CAUSEWAY__BROKER__PARTITIONS", "many")]);
    assert!(
        told.contains(
            "CAUSEWAY__CHANNEL__SALE__USER: names no [[channel]] table with a key in it; write one of: SALES"
        ),
        "{told}"
    );
    assert!(told.contains("CAUSEWAY__BROKER__PARTITIONS: must be a whole number from 1 to 256"), "{told}");
    // By name in a list, found only after every table was read, and of a key that is none.
    let told = problems(
        &format!("[expire]\nreplies = \"soon\"\n{SMALL}"),
        &[
            ("CAUSEWAY__CHANNEL__SALES__MAX_SEGMENTS", "many"),
            ("CAUSEWAY__PROVIDER__CREXENDO__MAX_INBOUND_AGE", "40d"),
            ("CAUSEWAY__BROKR__PREFETCH", "4"),
            ("CAUSEWAY__EXPIRE__INBUOND", "4h"),
        ],
    );
    for expected in [
        "CAUSEWAY__CHANNEL__SALES__MAX_SEGMENTS: must be a whole number from 1 to 1000",
        "CAUSEWAY__PROVIDER__CREXENDO__MAX_INBOUND_AGE: must be shorter than ledger.retain",
        "CAUSEWAY__BROKR__PREFETCH: is not a key of this table; write `broker`",
        "CAUSEWAY__EXPIRE__INBUOND: is not a key of this table; write `inbound`",
        "c.toml: expire.replies: cannot be read",
    ] {
        assert!(told.contains(expected), "missing: {expected}\nin:\n{told}");
    }
}

#[test]
fn keys_of_another_kind_may_stay_and_are_warned_of() {
    let warned = |variable: &str, kind: &str| {
        let loaded = read(CONTRACT, &[(variable, kind)]).unwrap_or_else(|problems| panic!("{problems}"));
        let about = |warning: &&String| warning.contains("has no effect with");
        loaded.warnings.iter().filter(about).cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        warned("CAUSEWAY__BROKER__KIND", "embedded"),
        [
            "broker.url_file: has no effect with kind = \"embedded\"",
            "broker.declare: has no effect with kind = \"embedded\""
        ]
    );
    assert_eq!(warned("CAUSEWAY__LEDGER__KIND", "sqlite"), ["ledger.url_file: has no effect with kind = \"sqlite\""]);
    assert_eq!(
        warned("CAUSEWAY__CHANNEL__COMPANY_COM__INBOUND", "messages"),
        ["channel \"company.com\".open_media_service: has no effect with inbound = \"messages\""]
    );
    assert_eq!(warned("CAUSEWAY__BROKER__PATH", "b"), ["broker.path: has no effect with kind = \"rabbitmq\""]);
    assert_eq!(warned("CAUSEWAY__LEDGER__PATH", "l"), ["ledger.path: has no effect with kind = \"postgres\""]);
    let login = "auth = { kind = \"jwt\", client_id = \"c\", client_secret = \"s\", username = \"u\", password = \"p\", key_file = \"/k\" }";
    let loaded = read(&SMALL.replace("auth = { kind = \"api-key\", key = \"k3y-material\" }", login), &[]);
    let warnings = loaded.unwrap_or_else(|problems| panic!("{problems}")).warnings;
    let expected = "provider \"crexendo\".auth.key_file: has no effect with kind = \"jwt\"";
    assert!(warnings.iter().any(|warning| warning == expected), "{warnings:?}");
    let told = problems(CONTRACT, &[("CAUSEWAY__BROKER__KIND", "embedded"), ("CAUSEWAY__BROKER__DECLRE", "true")]);
    assert!(told.contains("CAUSEWAY__BROKER__DECLRE: is not a key of this table"), "{told}");
}

#[test]
fn numbers_in_quotation_marks_are_text_in_a_file() {
    let told = problems(&format!("[broker]\npartitions = \"4\"\n{SMALL}"), &[]);
    assert!(told.contains("broker.partitions: must be a whole number"), "{told}");
}

#[test]
fn one_mistake_is_one_problem() {
    let problems = read(&SMALL.replace("delivered_when", "delivered_wen"), &[]).expect_err("a key is misspelt");
    assert!(!problems.to_string().contains("[[provider]]"), "{problems}");
}

#[test]
fn secrets_are_never_shown() {
    let environment = Vec::new();
    let loaded = load(&Source { file: "c.toml", text: SMALL, environment }, true).unwrap();
    let all = format!("{} {:?}", loaded.shown, loaded.config);
    for secret in ["k3y-material", "hook-material", "s3cret-material"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    assert!(loaded.shown.contains("***"));
}

#[test]
fn secret_files_are_read_and_cut() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let with = |content: &str| {
        std::fs::write(&file, content).unwrap();
        let text =
            SMALL.replace("secrets = [\"s3cret-material\"]", &format!("secret_files = [{:?}]", file.to_str().unwrap()));
        load(&Source { file: "c.toml", text: &text, environment: Vec::new() }, true)
    };
    let body = b"body";
    let signed = |loaded: &Loaded| genesys::sign(&loaded.config.channels[0].secrets, body);
    let plain = load(&Source { file: "c.toml", text: SMALL, environment: Vec::new() }, true).unwrap();
    assert_eq!(signed(&with("s3cret-material\n").unwrap()), signed(&plain));
    assert_ne!(signed(&with("s3cret-material\n\n").unwrap()), signed(&plain));
    assert!(with("\n").unwrap_err().to_string().contains("holds an empty secret"));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn neighbours_must_fit_together() {
    let told = problems(&SMALL.replace("user = \"9000\"", "user = \"9000\"\ngenesys = \"mian\""), &[]);
    assert!(told.contains("channel \"sales\".genesys: names no [[genesys]] table; write \"main\""), "{told}");
    let twice = format!(
        "{SMALL}\n[[channel]]\nid = \"0123456789\"\nname = \"other\"\nkind = \"sms\"\nuser = \"1\"\nsecrets = [\"x\"]\n"
    );
    let told = problems(&twice, &[]);
    assert!(told.contains("two tables have the same id at one tenant: main / 0123456789"), "{told}");
    assert!(told.contains("two tables have the same number at one provider: crexendo / 0123456789"), "{told}");
}

#[test]
fn text_that_is_no_toml_is_one_problem() {
    let told = problems("[http\nlisten", &[]);
    assert!(told.contains("c.toml: is not TOML"), "{told}");
}

#[test]
fn keywords_and_their_answers_must_make_sense() {
    let with = |more: &str| SMALL.replace("user = \"9000\"", &format!("user = \"9000\"\n{more}"));
    let consent = |text: &str| {
        let loaded = read(text, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        let ChannelKind::Sms { consent, .. } = &loaded.config.channels[0].kind else { panic!("it is SMS") };
        consent.clone()
    };
    let usual = consent(SMALL).expect("it is on where nothing is said");
    assert!(usual.keywords.find("Stop.").is_some() && usual.stop.is_some() && usual.help.is_none());
    assert!(consent(&with("consent = \"off\"")).is_none());
    let platform = SMALL.replace("domain =", "consent = \"off\"\ndomain =");
    assert!(consent(&platform).is_none());
    assert!(consent(&platform.replace("user =", "consent = \"on\"\nuser =")).is_some(), "a channel may differ");
    assert_eq!(consent(&with("stop_text = \"\"")).expect("it is on").stop, None);
    assert!(consent(&with("max_characters = 160")).is_some(), "the answers fit into the smallest request");
    for (more, expected) in [
        ("stop_words = []", "channel \"sales\".stop_words: is empty, so nobody could opt out"),
        ("help_words = [\"Stop!\"]", "\"Stop!\" stands for two different things; write each word in one list"),
        ("start_words = [\"!\"]", "\"!\" has no letter or digit"),
        ("consent = \"maybe\"", "channel \"sales\".consent: is none of the words it may be"),
        ("max_segments = 0", "max_segments: must be a whole number from 1 to 1000"),
    ] {
        let told = problems(&with(more), &[]);
        assert!(told.contains(expected), "missing: {expected}\nin:\n{told}");
    }
    let told = problems(&with(&format!("help_text = \"{}\"", "a ".repeat(801))), &[]);
    assert!(told.contains("help_text: cannot be read; write a text of one message"), "{told}");
}

fn pulled(text: &str) -> Pull {
    let loaded = read(text, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let ProviderKind::NetSapiens(provider) = &loaded.config.providers[0].kind else { panic!("it is NetSapiens") };
    *provider.pull.clone()
}

#[test]
fn without_a_public_url_the_sessions_are_polled() {
    let private = pulled(SMALL);
    assert_eq!((private.poll, private.subscribe), (Some(Duration::from_secs(60)), Some(false)));
    assert_eq!(private.max_inbound_age, Some(Duration::from_secs(3 * 86_400)));
    let public = format!("[http]\npublic_url = \"https://bridge.example.com\"\n{SMALL}");
    assert_eq!((pulled(&public).poll, pulled(&public).subscribe), (None, Some(true)));
    let more =
        "poll = \"30s\"\nsubscribe = false\ncatch_up_from = \"2026-11-20\"\nmax_inbound_age = \"1d\"\n[[channel]]";
    let told = pulled(&public.replace("[[channel]]", more));
    assert_eq!((told.poll, told.subscribe), (Some(Duration::from_secs(30)), Some(false)));
    assert_eq!(told.catch_up_from, "2026-11-20T00:00:00Z".parse().ok());
    assert_eq!(told.max_inbound_age, Some(Duration::from_secs(86_400)));
    let short = format!("[ledger]\nretain = \"2d\"\n{SMALL}");
    assert_eq!(pulled(&short).max_inbound_age, Some(Duration::from_secs(86_400)), "always less than retain");
}

#[test]
fn what_cannot_be_pulled_is_told() {
    let more = "poll = \"often\"\nsubscribe = true\npreferred_server = \"https://core1.example.com\"\n\
        catch_up_from = \"yesterday\"\nmax_inbound_age = \"30d\"\n[[channel]]";
    let told = problems(&SMALL.replace("[[channel]]", more), &[]);
    for expected in [
        "provider \"crexendo\".poll: cannot be read; write a duration of 1s or more",
        "provider \"crexendo\".subscribe: is true, and http.public_url is missing",
        "provider \"crexendo\".preferred_server: is no bare host name; write \"core1.example.com\"",
        "provider \"crexendo\".catch_up_from: cannot be read; write a moment",
        "provider \"crexendo\".max_inbound_age: must be shorter than ledger.retain",
    ] {
        assert!(told.contains(expected), "missing: {expected}\nin:\n{told}");
    }
}

#[test]
fn links_that_cannot_be_made_are_warned_of() {
    let warned = |text: &str| {
        let loaded = read(text, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        let about =
            |key: &&str| loaded.warnings.iter().any(|warning| warning.starts_with(&format!("{key}: is missing")));
        ["http.public_url", "blobs.signing_key_files"].into_iter().filter(about).collect::<Vec<_>>()
    };
    let rabbit = "[broker]\nkind = \"rabbitmq\"\nurl = \"amqp://user:password@host:5672/vhost\"\n";
    let (public, keys) = ("[http]\npublic_url = \"https://bridge.example.com\"\n", "[blobs]\nsigning_keys = [\"k\"]\n");
    assert_eq!(warned(SMALL), ["http.public_url"], "an embedded broker makes its key up");
    assert_eq!(warned(&format!("{rabbit}{SMALL}")), ["http.public_url", "blobs.signing_key_files"]);
    assert_eq!(warned(&format!("{public}{keys}{rabbit}{SMALL}")), [""; 0]);
}

#[test]
fn a_folder_that_no_other_host_sees_is_warned_of() {
    let warned = |broker: &str, blobs: &str| {
        let text = format!("[broker]\n{broker}\n[blobs]\n{blobs}\n{SMALL}");
        let loaded = read(&text, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        let about = |warning: &&String| warning.starts_with("blobs.shared: is not true, and url names a folder");
        loaded.warnings.iter().filter(about).count()
    };
    let rabbit = "kind = \"rabbitmq\"\nurl = \"amqp://host\"";
    assert_eq!(warned(rabbit, ""), 1);
    assert_eq!(warned(rabbit, "shared = true"), 0);
    assert_eq!(warned(rabbit, "url = \"s3://bucket\""), 0);
    assert_eq!(warned("kind = \"embedded\"", ""), 0, "there is one process");
}

#[test]
fn hours_that_cannot_be_read_are_problems() {
    let channel = |more: &str| SMALL.replace("kind = \"sms\"", &format!("kind = \"sms\"\n{more}"));
    let told = problems(&channel("quiet_alarm = \"0s\"\nbusiness_hours = [\"daily\"]\ntime_zone = \"Mars\""), &[]);
    for key in ["quiet_alarm", "business_hours", "time_zone"] {
        assert!(told.contains(&format!("channel \"sales\".{key}: ")), "{key}: {told}");
    }
    let loaded = read(&channel("business_hours = [\"Mon-Fri 08:00-18:00\"]"), &[]);
    let warned = loaded.unwrap_or_else(|problems| panic!("{problems}")).warnings;
    assert!(warned.iter().any(|warning| warning.contains("does nothing without quiet_alarm")), "{warned:?}");
    let loaded = read(&channel("quiet_alarm = \"4h\"\nbusiness_hours = [\"Mon-Fri 08:00-18:00\"]"), &[]);
    let quiet =
        loaded.unwrap_or_else(|problems| panic!("{problems}")).config.channels[0].quiet.clone().expect("it is set");
    assert_eq!(quiet.after, Duration::from_hours(4));
    assert!(quiet.hours.is_some());
}

#[test]
fn a_picture_that_no_carrier_takes_is_a_problem() {
    let channel = |more: &str| SMALL.replace("kind = \"sms\"", &format!("kind = \"sms\"\n{more}"));
    let told = problems(&channel("mms = \"sometimes\"\nmms_limit = \"6 MiB\"\nmms_types = [\"png\"]"), &[]);
    for key in ["mms", "mms_limit", "mms_types"] {
        assert!(told.contains(&format!("channel \"sales\".{key}: ")), "{key}: {told}");
    }
    assert!(read(&channel("mms = \"never\"\nmms_limit = \"600 KiB\""), &[]).is_ok());
}

/// The commands that ask a running process read no secret but the one they ask with.
#[test]
fn the_token_of_the_control_socket_is_read_where_no_other_secret_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "a-token\n").unwrap();
    let over_tcp = |path: &std::path::Path| {
        let text = format!("{SMALL}\n[admin]\ncontrol = \"127.0.0.1:9\"\ntoken_file = \"{}\"\n", path.display());
        let loaded = read(&text, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        let Control::Tcp { token, .. } = loaded.config.admin.control else { panic!("it is an address") };
        secrecy::ExposeSecret::expose_secret(&token).to_owned()
    };
    assert_eq!(over_tcp(&path), "a-token");
    assert_ne!(over_tcp(&folder.path().join("away")), "a-token", "whoever may not read it is told by whom it asks");
}
