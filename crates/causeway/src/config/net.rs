//! How others are reached, and the certificates that count. What cannot work is a problem here: nothing is open yet.

use std::path::{Path, PathBuf};

use ledger::PostgresConfig;
use reqwest::Url;
use runtime::http_server::{Tls as Certificate, TlsError};
use runtime::{CertificatesError, read_authorities, read_certificates};
use secrecy::{ExposeSecret, SecretString};

use super::section::Section;
use super::settings::Tls;

pub(super) fn net(section: Section<'_>) -> runtime::HttpClientConfig {
    let files = section.strings("ca_files");
    let ca_files = files.iter().map(|path| usable(&section, "ca_files", path, read_authorities));
    let ca_files = ca_files.collect();
    let proxy = section.secret("proxy").filter(|url| proxy(&section, url));
    let proxy = proxy.map(|url| url.expose_secret().to_owned());
    let connect_timeout = section.duration("connect_timeout", "5s");
    section.finish();
    runtime::HttpClientConfig { connect_timeout, ca_files, proxy }
}

/// Whether it is a proxy's URL, which is shown without its user and password.
fn proxy(section: &Section<'_>, url: &SecretString) -> bool {
    if !section.knows("proxy") {
        return true;
    }
    let text = url.expose_secret();
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        let instead = "\"http://proxy.example.com:3128\", or proxy_file where it holds a user and a password";
        section.problem(&section.given("proxy"), "is no URL of an http or https proxy", instead);
        return false;
    };
    if section.has("proxy") {
        let user = if url.username().is_empty() && url.password().is_none() { "" } else { "***@" };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        section.record("proxy", format!("{}://{user}{host}{port}", url.scheme()));
    }
    true
}

/// `tls = { ca_file = … }`
pub(super) fn ca_file(section: &Section<'_>) -> Option<PathBuf> {
    let tls = section.section("tls");
    let ca_file = tls.string("ca_file").map(|path| certificates(&tls, "ca_file", &path));
    tls.finish();
    ca_file
}

/// A file that must hold certificates.
pub(super) fn certificates(section: &Section<'_>, key: &str, path: &str) -> PathBuf {
    usable(section, key, path, read_certificates)
}

fn usable<T>(section: &Section<'_>, key: &str, path: &str, read: fn(&Path) -> Result<T, CertificatesError>) -> PathBuf {
    if section.shared.read_secrets
        && let Err(error) = read(Path::new(path))
    {
        let instead = "a file this process may read, with certificates of authorities in PEM";
        section.problem(key, format!("names {path}, which {error}"), instead);
    }
    PathBuf::from(path)
}

/// `tls = { … }`, where it is; `None` is a problem that was told.
pub(super) fn tls(section: &Section<'_>) -> Option<Option<Tls>> {
    let tls = section.section("tls");
    if !section.has("tls") {
        return Some(None);
    }
    let chain = "the path of a PEM certificate chain";
    let key = "the path of a PEM private key";
    let cert_file = tls.required("cert_file", chain).map(PathBuf::from);
    let key_file = tls.required("key_file", key).map(PathBuf::from);
    let found = cert_file.zip(key_file).map(|(cert_file, key_file)| Tls { cert_file, key_file });
    if let Some(files) = found.as_ref().filter(|_| section.shared.read_secrets) {
        for error in Certificate::check(&files.cert_file, &files.key_file) {
            match error {
                TlsError::Certificate { .. } => tls.problem("cert_file", error.to_string(), chain),
                TlsError::Key { .. } => tls.problem("key_file", error.to_string(), key),
                TlsError::Apart { .. } => tls.problem("key_file", error.to_string(), "the key of that certificate"),
            }
        }
    }
    tls.finish();
    found.map(Some)
}

/// An `http(s)` URL with nothing that could send a secret elsewhere; without the slash at its end.
pub(super) fn base_url(section: &Section<'_>, key: &str, required: bool) -> Option<String> {
    let instead = "a URL such as \"https://host/path\"";
    let text = if required { section.required(key, instead)? } else { section.string(key)? };
    let plain = text.strip_prefix("http://");
    let rest = plain.or_else(|| text.strip_prefix("https://"));
    let fine = rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty() && !rest.contains(['?', '#', '@', ' '])
    });
    if !fine {
        section.problem(key, "is no http or https URL without user, query and fragment", instead);
        return None;
    }
    if plain.is_some() && key == "public_url" {
        section.warn(key, "is plain http: Genesys and providers ask for https");
    }
    Some(text.trim_end_matches('/').to_owned())
}

pub(super) fn management_url(section: &Section<'_>, url: &SecretString) -> bool {
    let instead = "https://user:password@host:15671";
    url_of(section, "management_url", url, &["http", "https"], "is no http or https URL", instead)
}

pub(super) fn amqp_url(section: &Section<'_>, url: &SecretString) -> bool {
    let instead = "amqp://user:password@host:5672/vhost, or amqps://…";
    url_of(section, "url", url, &["amqp", "amqps"], "is no AMQP URL", instead)
}

fn url_of(section: &Section<'_>, key: &str, url: &SecretString, schemes: &[&str], told: &str, instead: &str) -> bool {
    let parsed = Url::parse(url.expose_secret()).ok();
    let fine = !section.knows(key) || parsed.is_some_and(|url| schemes.contains(&url.scheme()));
    if !fine {
        section.problem(&section.given(key), told, instead);
    }
    fine
}

/// Whether it is a PostgreSQL URL, or what libpq takes in its place.
pub(super) fn ledger_url(section: &Section<'_>, url: &SecretString) -> bool {
    if !section.knows("url") {
        return true;
    }
    let told = PostgresConfig::check_url(url);
    if let Err(what) = &told {
        let instead = "postgresql://user:password@host:5432/database?sslmode=require, with special characters of the \
                       password as %xx";
        section.problem(&section.given("url"), *what, instead);
    }
    told.is_ok()
}

#[cfg(test)]
mod tests {
    use crate::config::tests::SMALL;
    use crate::config::{Loaded, Problems, Source, load};

    fn fixture(name: &str) -> String {
        format!("{}/../runtime/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn read(more: &str, read_secrets: bool) -> Result<Loaded, Problems> {
        let text = format!("{more}\n{SMALL}");
        load(&Source { file: "c.toml", text: &text, environment: Vec::new() }, read_secrets)
    }

    fn loaded(more: &str) -> Loaded {
        read(more, true).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn told(more: &str, read_secrets: bool) -> String {
        read(more, read_secrets).map(|_| ()).expect_err(more).to_string()
    }

    #[test]
    fn a_proxy_is_shown_without_its_user_and_password() {
        let secret = "http://someone:s3same@proxy.example.com:3128/";
        let given = loaded(&format!("[net]\nproxy = \"{secret}\""));
        assert_eq!(given.config.net.proxy.as_deref(), Some(secret));
        assert!(given.shown.contains("proxy = \"http://***@proxy.example.com:3128\""), "{}", given.shown);
        for text in [&given.shown, &format!("{:?}", given.config)] {
            assert!(!text.contains("s3same") && !text.contains("someone"), "{text}");
        }
        let plain = loaded("[net]\nproxy = \"http://proxy.example.com:3128\"");
        assert!(plain.shown.contains("proxy = \"http://proxy.example.com:3128\""), "{}", plain.shown);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{secret}\n")).unwrap();
        let filed = loaded(&format!("[net]\nproxy_file = {:?}", file.path()));
        assert_eq!(filed.config.net.proxy.as_deref(), Some(secret));
        assert!(!filed.shown.contains("s3same") && filed.shown.contains("proxy_file"), "{}", filed.shown);
        std::fs::write(file.path(), "socks9://someone:s3same@").unwrap();
        let wrong = told(&format!("[net]\nproxy_file = {:?}", file.path()), true);
        assert!(wrong.contains("net.proxy_file: is no URL of an http or https proxy"), "{wrong}");
        assert!(!wrong.contains("s3same"), "{wrong}");
    }

    #[test]
    fn urls_that_lead_nowhere_are_problems_before_anything_is_open() {
        for (more, expected) in [
            (
                "[net]\nproxy = \"nonsense proxy\"",
                "c.toml: net.proxy: is no URL of an http or https proxy; write \"http",
            ),
            ("[net]\nproxy = \"socks5://host\"", "c.toml: net.proxy: is no URL of an http or https proxy"),
            (
                "[ledger]\nkind = \"postgres\"\nurl = \"nonsense\"",
                "c.toml: ledger.url: cannot be read; write postgresql://",
            ),
            ("[ledger]\nkind = \"postgres\"\nurl = \"postgres:///db\"", "c.toml: ledger.url: names no host"),
            ("[broker]\nkind = \"rabbitmq\"\nurl = \"amqp://host:port\"", "c.toml: broker.url: is no AMQP URL"),
        ] {
            for read_secrets in [true, false] {
                let told = told(more, read_secrets);
                assert!(told.contains(expected), "missing: {expected}\nin:\n{told}");
            }
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nonsense").unwrap();
        let more = format!("[ledger]\nkind = \"postgres\"\nurl_file = {:?}", file.path());
        assert!(told(&more, true).contains("c.toml: ledger.url_file: cannot be read; write postgresql://"));
        assert!(read(&more, false).is_ok(), "nothing is known of a file that is not read");
    }

    #[test]
    fn certificates_that_are_none_are_problems_before_anything_is_open() {
        let garbage = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(garbage.path(), "-----BEGIN PRIVATE KEY-----s3same\n").unwrap();
        let garbage = garbage.path().display().to_string();
        let hollow = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(hollow.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let hollow = hollow.path().display().to_string();
        let (chain, key) = (fixture("server.pem"), fixture("server.key"));
        let tls = |cert: &str, key: &str| format!("[http]\ntls = {{ cert_file = \"{cert}\", key_file = \"{key}\" }}");
        let postgres = "[ledger]\nkind = \"postgres\"\nurl = \"postgres://host\"";
        for (more, expected) in [
            (
                format!("[net]\nca_files = [\"{garbage}\"]"),
                vec!["net.ca_files: names {garbage}, which holds no certificate"],
            ),
            (
                format!("[net]\nca_files = [\"{hollow}\"]"),
                vec!["net.ca_files: names {hollow}, which holds a certificate that"],
            ),
            (
                format!("{postgres}\ntls = {{ ca_file = \"{garbage}\" }}"),
                vec!["ledger.tls.ca_file: names {garbage}, which holds no"],
            ),
            (tls(&garbage, &key), vec!["http.tls.cert_file: {garbage} holds no certificate in PEM; write the path"]),
            (tls(&hollow, &key), vec!["http.tls.cert_file: {hollow} holds a certificate that cannot be read"]),
            (tls(&chain, &garbage), vec!["http.tls.key_file: {garbage} holds no private key in PEM; write the path"]),
            (
                tls("/nowhere", &garbage),
                vec![
                    "http.tls.cert_file: /nowhere cannot be read: ",
                    "http.tls.key_file: {garbage} holds no private key",
                ],
            ),
            (tls(&fixture("authority.pem"), &key), vec!["http.tls.key_file: ", "do not fit: "]),
        ] {
            let told = told(&more, true);
            for expected in expected {
                let expected = expected.replace("{garbage}", &garbage).replace("{hollow}", &hollow);
                assert!(told.contains(&expected), "missing: {expected}\nin:\n{told}");
            }
            assert!(!told.contains("s3same"), "a file is never quoted: {told}");
            assert!(read(&more, false).is_ok(), "{more}: files may not be there");
        }
        assert!(loaded(&tls(&chain, &key)).config.http.tls.is_some());
        assert_eq!(loaded(&format!("[net]\nca_files = [{:?}]", fixture("authority.pem"))).config.net.ca_files.len(), 1);
    }
}
