//! Files of messages: where they are kept, and how a channel treats them.

use std::path::PathBuf;

use blobs::{Place, S3};
use consumer_outbound::Mms;
use genesys_outbound::Form;

use super::section::Section;
use super::settings::{Blobs, Channel, ChannelKind, Http, Media, MmsSettings};

pub(super) fn blobs(section: Section<'_>) -> Blobs {
    let place = section.parsed("url", "file:data/blobs", "\"file:PATH\" or \"s3://bucket/prefix\"", place);
    let place = match place {
        Place::S3(bucket) => Place::S3(s3(&section, bucket)),
        folder @ Place::Folder(_) => {
            for key in ["endpoint", "region", "access_key_id", "secret_access_key", "secret_access_key_file"] {
                if section.has(key) {
                    section.value(key);
                    section.problem(
                        key,
                        "belongs to a store across the network, and url names a folder",
                        "url = \"s3://…\"",
                    );
                }
            }
            folder
        }
    };
    let signing_keys = section.secrets("signing_key");
    let shared = section.boolean("shared", false);
    let link_ttl = section.duration("link_ttl", "30d");
    section.finish();
    Blobs { place, shared, signing_keys, link_ttl }
}

fn place(text: &str) -> Option<Place> {
    if let Some(path) = text.strip_prefix("file:") {
        return (!path.is_empty()).then(|| Place::Folder(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
    }
    let rest = text.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let bucket = Some(bucket).filter(|bucket| !bucket.is_empty())?.to_owned();
    Some(Place::S3(S3 { bucket, prefix: prefix.to_owned(), endpoint: None, region: None, access_key: None }))
}

fn s3(section: &Section<'_>, bucket: S3) -> S3 {
    let id = section.string("access_key_id");
    let secret = section.secret("secret_access_key");
    if id.is_some() != secret.is_some() && section.shared.read_secrets {
        let told = "belongs to secret_access_key_file, and one of them is missing";
        section.problem("access_key_id", told, "both, or neither: then the machine's own role or AWS_… is used");
    }
    S3 {
        endpoint: super::net::base_url(section, "endpoint", false),
        region: section.string("region"),
        access_key: id.zip(secret),
        ..bucket
    }
}

/// What carriers bring, and what an agent's desktop shows or saves without acting on it.
const TYPES: &[&str] = &[
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/heic",
    "image/bmp",
    "video/mp4",
    "video/3gpp",
    "video/quicktime",
    "audio/amr",
    "audio/mpeg",
    "audio/mp4",
    "audio/aac",
    "audio/ogg",
    "audio/wav",
    "text/vcard",
    "text/plain",
    "application/pdf",
];

/// What people attach to mails beside that.
const ATTACHED: &[&str] = &[
    "image/tiff",
    "text/calendar",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.presentation",
    "application/x-ole-storage",
    "application/ms-tnef",
];

pub(super) fn channel(section: &Section<'_>, is_mail: bool) -> Media {
    let form = section.word_or("media", "link", &[("link", Form::Link), ("rich-media", Form::RichMedia)]);
    let attached = if is_mail { ATTACHED } else { &[] };
    let types = section.strings_or("media_types", &[TYPES, attached].concat());
    if types.iter().any(|one| !one.contains('/')) {
        section.problem("media_types", "holds what is no media type", "[\"image/jpeg\", \"image/png\"]");
    }
    let limit = section.size("media_limit", "25 MiB");
    Media { form, types, limit }
}

/// What every carrier takes (`reference/netsapiens.md` 7).
const MMS_TYPES: &[&str] = &["image/jpeg", "image/png", "image/gif"];
/// A picture is in memory while it is sent, and no carrier is known to take more.
const MOST_OF_A_PICTURE: u64 = 5 << 20;

pub(super) fn mms(section: &Section<'_>) -> MmsSettings {
    let words = [("auto", Mms::Auto), ("always", Mms::Always), ("never", Mms::Never)];
    let mode = section.word_or("mms", "auto", &words);
    let types = section.strings_or("mms_types", MMS_TYPES);
    let limit = section.size("mms_limit", "1000000");
    if limit == 0 || limit > MOST_OF_A_PICTURE {
        section.problem(
            "mms_limit",
            "is not from 1 byte to 5 MiB, beyond which no carrier takes a picture",
            "\"1000000\"",
        );
    }
    if types.iter().any(|one| !one.contains('/')) {
        section.problem("mms_types", "holds what is no media type", "[\"image/jpeg\", \"image/png\"]");
    }
    MmsSettings { mode, types, limit }
}

/// Says where links cannot be made, for channels that may need some.
pub(super) fn check_links(
    root: &Section<'_>,
    http: Option<&Http>,
    blobs: &Blobs,
    broker: Option<&broker::Config>,
    channels: &[Option<Channel>],
) {
    if let (Place::Folder(_), false, Some(broker::Config::RabbitMq(_))) = (&blobs.place, blobs.shared, broker) {
        let told = "is not true, and url names a folder: only this host serves the links made here; write shared = true where \
                    every host sees the folder or there is no other, or url = \"s3://…\"";
        root.warn("blobs.shared", told);
    }
    let texts = |channel: &&Channel| matches!(channel.kind, ChannelKind::Sms { .. });
    if !channels.iter().flatten().any(|channel| texts(&channel)) {
        return;
    }
    let missed = "consumers' files are given to agents as links where media = \"link\", and agents' files that cannot be sent as \
                  pictures become links; without one an agent is told that there is a file, or Failed 510";
    if http.is_some_and(|http| http.public_url.is_none()) {
        root.warn("http.public_url", &format!("is missing, so no file can be linked to: {missed}"));
    }
    if blobs.signing_keys.is_empty() && matches!(broker, Some(broker::Config::RabbitMq(_))) {
        root.warn("blobs.signing_key_files", &format!("is missing, so no link can be signed: {missed}"));
    }
}
