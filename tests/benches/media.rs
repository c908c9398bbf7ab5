//! Consumers' pictures of 1 MB on their way to the agent, through a whole Causeway between simulated neighbours.
//!
//! `make bench`, or `cargo bench --profile release -p causeway -p tests --bench media [-- OPTIONS]` after
//! `cargo build --release -p causeway`. Options: `--pictures N`, `--at-once N`, `--only link` or `--only rich-media`. The
//! neighbours share the machine: they serve every picture, and what is uploaded they read, verify and keep. Causeway waits a
//! second before it reads the session of a picture, so that the events of one message cost one read: that second is part of
//! every time, and fewer than fifty at once can never be fifty a second.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "relay/figures.rs"]
mod figures;
#[path = "media/neighbours.rs"]
mod neighbours;
#[path = "relay/process.rs"]
mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use figures::{Latency, megabytes, verdict};
use http::{HeaderMap, Method};
use neighbours::{Form, Neighbours};
use process::Process;
use runtime::{Answer, Call, CallError, HttpClient, HttpClientConfig};
use test_support::free_port;

/// Pictures a second that are to be reached.
const RATE: f64 = 50.0;
/// What ten times as many pictures may make of the most memory the process ever held, and it still counts as flat. A longer
/// run meets busier moments; what stayed of each picture would be seen from a fiftieth of it on.
const FLAT: f64 = 1.5;

/// What is asked for on the command line.
struct Options {
    pictures: u64,
    at_once: u64,
    only: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let options = options(&arguments)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure(&options))
}

fn options(words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options { pictures: 2_000, at_once: 96, only: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--pictures" => options.pictures = value()?.parse()?,
            "--at-once" => options.at_once = value()?.parse()?,
            "--only" => options.only = Some(value()?.clone()),
            other => bail!("{other} is not an option of this benchmark"),
        }
    }
    ensure!((10..=neighbours::MOST).contains(&options.pictures), "--pictures is 10 to {}", neighbours::MOST);
    ensure!((1..=neighbours::CONSUMERS).contains(&options.at_once), "--at-once is 1 to {}", neighbours::CONSUMERS);
    Ok(options)
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    let Options { pictures, at_once, .. } = *options;
    let cores = std::thread::available_parallelism()?;
    println!("pictures of 1 MB to the agent, {at_once} at once, {cores} cores shared with the neighbours");
    println!(
        "from the consumer's send to the message in Genesys; embedded broker, ledger on SQLite, files in a folder\n"
    );
    println!(
        "{:<12} {:>8}  {:>8} {:>8} {:>8}  {:>8}  {:>16} {:>16}",
        "", "per s", "p50 ms", "p99 ms", "max ms", "CPU ms", "peak MB at", "peak MB at"
    );
    println!(
        "{:<12} {:>8}  {:>8} {:>8} {:>8}  {:>8}  {:>16} {pictures:>16}",
        "",
        "",
        "",
        "",
        "",
        "each",
        pictures / 10
    );
    let mut measured = Vec::new();
    for form in [Form::Link, Form::RichMedia] {
        if options.only.as_deref().is_none_or(|only| only == form.word()) {
            let row = row(form, options).await.with_context(|| format!("media = \"{}\"", form.word()))?;
            println!(
                "{:<12} {:>8.1}  {:>8.1} {:>8.1} {:>8.1}  {:>8.2}  {:>16.0} {:>16.0}",
                form.word(),
                row.per_second,
                row.latency.p50,
                row.latency.p99,
                row.latency.max,
                row.cpu,
                megabytes(row.early_peak),
                megabytes(row.peak)
            );
            measured.push((form, row));
        }
    }
    ensure!(!measured.is_empty(), "--only is link or rich-media");
    println!("\nthe numbers to reach");
    for (form, row) in measured {
        verdict(&format!("{}: pictures a second", form.word()), row.per_second, RATE, true);
        let growth = row.peak as f64 / row.early_peak as f64;
        verdict(&format!("{}: peak memory with ten times the pictures", form.word()), growth, FLAT, false);
    }
    Ok(())
}

/// What one form showed.
struct Row {
    per_second: f64,
    latency: Latency,
    /// Of the process, for each picture.
    cpu: f64,
    /// The most memory it held until a tenth of the pictures were through, and until all were.
    early_peak: u64,
    peak: u64,
}

async fn row(form: Form, options: &Options) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let (http, admin) = (address(), address());
    let neighbours = Neighbours::start(http).await?;
    let client = client()?;
    let process =
        bridge(&client, folder.path(), &neighbours.toml(folder.path(), form, http, admin), http, admin).await?;
    let Options { pictures, at_once, .. } = *options;
    // What is slow only once is not measured.
    neighbours.send(0..at_once, at_once).await?;
    let (cpu, began) = (process.cpu()?, Instant::now());
    neighbours.send(at_once..at_once + pictures / 10, at_once).await?;
    let early_peak = process.peak()?;
    neighbours.send(at_once + pictures / 10..at_once + pictures, at_once).await?;
    let (took, cpu) = (began.elapsed(), process.cpu()?.saturating_sub(cpu));
    let peak = process.peak()?;
    let latency = Latency::of(neighbours.check(form, at_once..at_once + pictures)?);
    if form == Form::Link {
        let number = at_once + pictures - 1;
        let answer = get(&client, neighbours.link(number)?).await?;
        ensure!(answer.body == neighbours.picture(number), "a link opens another picture, or none: {}", answer.status);
    }
    process.end().await?;
    let each = pictures as f64;
    let per_second = each / took.as_secs_f64();
    Ok(Row { per_second, latency, cpu: cpu.as_secs_f64() * 1e3 / each, early_peak, peak })
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

fn client() -> anyhow::Result<HttpClient> {
    HttpClient::new(&HttpClientConfig { connect_timeout: TIMEOUT, ca_files: Vec::new(), proxy: None })
}

const TIMEOUT: Duration = Duration::from_secs(30);

async fn get(client: &HttpClient, url: String) -> Result<Answer, CallError> {
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    client.call("bench", "get", Call { method: Method::GET, url, headers, body, timeout: TIMEOUT }).await
}

/// A bridge that is ready.
async fn bridge(
    client: &HttpClient,
    folder: &Path,
    toml: &str,
    http: SocketAddr,
    admin: SocketAddr,
) -> anyhow::Result<Process> {
    let (file, log) = (folder.join("causeway.toml"), folder.join("causeway.log"));
    std::fs::write(&file, toml)?;
    let arguments = ["run", "--config", file.to_str().context("a path that is text")?];
    let mut process = Process::start("causeway", &causeway()?, &arguments, &log)?;
    let ready = || get(client, format!("http://{admin}/readyz"));
    let ready = process.until(async || ready().await.is_ok_and(|answer| answer.status.is_success())).await;
    ready.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    process.listens(http).await?;
    Ok(process)
}

/// The program beside this one.
fn causeway() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.parent().and_then(Path::parent).context("no target folder")?.join("causeway");
    ensure!(program.exists(), "{} is not built; `make bench` builds it", program.display());
    Ok(program)
}
