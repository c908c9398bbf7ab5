//! A real browser, driven over WebDriver: Debian's Chromium, or whatever stands behind `CAUSEWAY_TEST_CHROMEDRIVER`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

const CHROMEDRIVER: &str = "/usr/bin/chromedriver";
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A cold start of a browser on a busy machine.
const START: Duration = Duration::from_secs(60);
/// What the page must have shown by then; a breaker of the bridge may be open in between.
const SHOWN: Duration = Duration::from_secs(60);

/// How the person before the screen has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    Desktop,
    Dark,
    Phone,
}

impl Screen {
    fn options(self, profile: Option<&Path>) -> Value {
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push("--window-size=1440,900".to_owned());
        if self == Self::Dark {
            flags.push("--force-dark-mode".to_owned());
        }
        if let Some(profile) = profile {
            flags.push(format!("--user-data-dir={}", profile.display()));
        }
        let mut options = json!({ "args": flags });
        if self == Self::Phone {
            let metrics = json!({ "width": 390, "height": 844, "pixelRatio": 2, "mobile": true, "touch": true });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        options
    }
}

/// One page in a browser of its own.
pub(crate) struct Browser {
    client: Client,
    /// Names the screenshots.
    name: &'static str,
    // Ended in this order: the browser must be gone before its profile is.
    _driver: Option<Driver>,
    _profile: Option<TempDir>,
}

impl Browser {
    /// Starts a browser and opens an address.
    pub(crate) async fn open(name: &'static str, screen: Screen, address: &str) -> Self {
        let (driver, profile, url) = match given_driver() {
            // It may run on another machine, where a folder of ours means nothing: it makes a new profile by itself.
            Some(url) => (None, None, url),
            None => {
                let driver = Driver::start().await;
                let url = driver.url.clone();
                (Some(driver), Some(TempDir::new().expect("a folder for the profile")), url)
            }
        };
        let options = screen.options(profile.as_ref().map(TempDir::path));
        let Value::Object(capabilities) = json!({ "browserName": "chrome", "goog:chromeOptions": options }) else {
            unreachable!("it is written as an object")
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let client = timeout(START, builder.connect(&url)).await.expect("the browser starts in time");
        let client = client.unwrap_or_else(|error| panic!("chromedriver at {url} starts no browser: {error}"));
        let browser = Self { client, name, _driver: driver, _profile: profile };
        browser.client.goto(address).await.expect("the page is there");
        browser
    }

    /// What an XPath finds, as soon as it does; a screenshot is kept where it does not.
    pub(crate) async fn wait_for(&self, xpath: &str) -> Element {
        match self.client.wait().at_most(SHOWN).for_element(Locator::XPath(xpath)).await {
            Ok(element) => element,
            Err(error) => {
                self.screenshot("failed").await;
                panic!("{}: {xpath} was not there in time: {error}", self.name);
            }
        }
    }

    /// How many an XPath finds now.
    pub(crate) async fn count(&self, xpath: &str) -> usize {
        self.client.find_all(Locator::XPath(xpath)).await.expect("the page can be searched").len()
    }

    /// What has the focus now.
    pub(crate) async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("it takes keys");
    }

    /// What a script returns.
    pub(crate) async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("the script runs")
    }

    /// Keeps what the page looks like as an artefact of the run.
    pub(crate) async fn screenshot(&self, what: &str) {
        let picture = self.client.screenshot().await.expect("the browser makes a screenshot");
        assert!(picture.starts_with(b"\x89PNG"), "a screenshot is a PNG");
        fs::write(artefacts().join(format!("{}-{what}.png", self.name)), picture).expect("the artefact is written");
    }

    /// Ends the browser.
    pub(crate) async fn close(self) {
        self.client.close().await.expect("the browser ends");
    }
}

/// Where the artefacts of a run are kept.
pub(crate) fn artefacts() -> PathBuf {
    let folder = programs().parent().expect("a profile's folder is in the target folder").join("artefacts");
    fs::create_dir_all(&folder).expect("the target folder takes files");
    folder
}

/// Where cargo puts the programs of this profile: beside the folder of the test program.
pub(crate) fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own program");
    test.ancestors().nth(2).expect("it is in target/<profile>/deps").to_owned()
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where what they need is")]
fn given_driver() -> Option<String> {
    std::env::var("CAUSEWAY_TEST_CHROMEDRIVER").ok().filter(|url| !url.is_empty())
}

/// A program whose output is read, ended with its handle.
pub(crate) struct Program {
    /// Killed with its handle.
    _child: Child,
    _output: JoinSet<()>,
}

impl Program {
    /// Starts it and gives what `find` finds first in a line of its standard output.
    ///
    /// # Panics
    /// When it does not start, or says nothing of the kind in time.
    pub(crate) async fn start<T>(command: &mut Command, log: &str, find: fn(&str) -> Option<T>) -> (Self, T) {
        let log = artefacts().join(log);
        let errors = fs::File::create(&log).expect("the log is written");
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let said = async {
            while let Some(line) = lines.next_line().await.expect("its output can be read") {
                if let Some(found) = find(&line) {
                    return Some(found);
                }
            }
            None
        };
        let Some(found) = timeout(START, said).await.ok().flatten() else {
            panic!("{command:?} did not say that it is ready:\n{}", fs::read_to_string(&log).unwrap_or_default());
        };
        let mut output = JoinSet::new();
        // A full pipe would stop it.
        output.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (Self { _child: child, _output: output }, found)
    }
}

/// A chromedriver of a test's own.
struct Driver {
    _program: Program,
    url: String,
}

impl Driver {
    async fn start() -> Self {
        let mut command = Command::new(CHROMEDRIVER);
        let (program, port) = Program::start(command.arg("--port=0"), "chromedriver.log", port).await;
        Self { _program: program, url: format!("http://127.0.0.1:{port}") }
    }
}

/// The port in "ChromeDriver was started successfully on port 40321."
fn port(line: &str) -> Option<u16> {
    line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
}
