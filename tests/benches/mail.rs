//! What the mail listener takes, beside a bare listener on the same library that keeps nothing; and how many of agents' mails are
//! under way at a time to a server that takes its time.
//!
//! `make bench`, or `cargo bench --profile release -p causeway -p tests --bench mail [-- --seconds N]` after
//! `cargo build --release -p causeway`. Both are processes of their own; the senders share the machine with them.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "mail/out.rs"]
mod out;
#[path = "mail/process.rs"]
mod process;
#[path = "mail/senders.rs"]
mod senders;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use email::listen::{ListenConfig, Refusals, SmtpLimits, Store, serve};
use out::Far;
use process::Process;
use runtime::Shutdown;
use senders::{Sender, Taken, idle, large, senders};
use test_support::free_port;
use tokio::net::TcpListener;

const MIB: f64 = 1024.0 * 1024.0;
/// Connections that send at once.
const AT_ONCE: usize = 32;
const IDLE: usize = 1000;
/// Connections to the server that takes agents' mail: by default, and as many as are wanted of it.
const CONNECTIONS: [usize; 2] = [10, 100];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match words[..] {
        ["bare", address] => runtime.block_on(bare(address.parse()?)),
        [] => runtime.block_on(measure(Duration::from_secs(10))),
        ["--seconds", seconds] => runtime.block_on(measure(Duration::from_secs(seconds.parse()?))),
        _ => bail!("--seconds N"),
    }
}

/// The library with nothing behind it: a mail is answered for and forgotten.
async fn bare(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let config = ListenConfig {
        name: "bare.example".to_owned(),
        allowed: vec!["127.0.0.0/8".parse()?],
        domains: vec!["company.com".to_owned()],
        bounce_address: None,
        refusals: Refusals::new("mail"),
        tls: None,
        require_tls: false,
        spool: std::env::temp_dir(),
        limits: SmtpLimits { connections: 2 * IDLE, ..SmtpLimits::default() },
    };
    let shutdown = Shutdown::new();
    let signals = shutdown.on_signals(Duration::from_secs(5))?;
    tokio::select! {
        ended = serve(listener, config, Store::new(|_| async { Ok(()) }), shutdown.clone()) => ended,
        ended = signals => ended,
    }
}

/// A bridge whose tenant cannot be reached: all of the machine is for what comes in.
fn settings(folder: &Path, mail: SocketAddr) -> String {
    let keys = format!("listen = \"{mail}\"\nlimits = {{ connections = {} }}", 2 * IDLE);
    settings_with(folder, address(), &format!("http://{}/nexus/v3", address()), &keys)
}

/// A bridge by mail: where it listens, its tenant, and the keys of its provider.
fn settings_with(folder: &Path, http: SocketAddr, base_url: &str, keys: &str) -> String {
    let admin = address();
    let folder = folder.display();
    format!(
        r#"
        [http]
        listen = "{http}"
        public_url = "http://{http}"
        [admin]
        listen = "{admin}"
        control = "unix:{folder}/control.sock"
        [broker]
        kind = "embedded"
        path = "{folder}/broker"
        [ledger]
        kind = "sqlite"
        path = "{folder}/ledger.db"
        [blobs]
        url = "file:{folder}/blobs"
        [shutdown]
        lag = "0s"
        [[genesys]]
        name = "main"
        base_url = "{base_url}"
        ccid = "0ff723ff-6c6f-44e0-9ce3-ce579337eadd"
        [[provider]]
        name = "mail"
        kind = "email"
        {keys}
        delivered_when = "accepted"
        max_per_sender = 0
        spool = "{folder}/spool"
        [[channel]]
        id = "company.com"
        kind = "email"
        provider = "mail"
        secrets = ["t4Wn8pQx-mail-channel-secret"]
        inbound = "messages"
        "#
    )
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

async fn measure(long: Duration) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?;
    println!("mails of 10 KB over {AT_ONCE} connections, {} s, {cores} cores shared with the senders", long.as_secs());
    let folder = tempfile::tempdir()?;
    let at = address();
    let program = std::env::current_exe()?;
    let mut process = Process::start(&program, &["bare", &at.to_string()], &folder.path().join("bare.log"))?;
    process.listens(at).await?;
    let bare = measured("bare listener, nothing kept", &process, at, long).await?;
    process.end().await?;

    let (process, at) = bridge(&folder.path().join("rate")).await?;
    let ours = measured("Causeway, embedded broker, fsync before 250", &process, at, long).await?;
    println!("{:<46} {:>9.2}", "Causeway to the bare listener", ours / bare);
    process.end().await?;

    // A process of its own: what another round has let go of would be used again, and not be seen.
    let (process, at) = bridge(&folder.path().join("memory")).await?;
    Sender::connect(at).await?.mail(0).await?;
    let before = process.resident()?;
    let held = idle(at, IDLE).await?;
    println!("{:<46} {:>9.1} MiB more", format!("{IDLE} idle connections"), (process.resident()? - before) / MIB);
    drop(held);
    process.forget_peak()?;
    let before = process.resident()?;
    large(at, 25 * 1024 * 1024 - 64 * 1024).await?;
    println!(
        "{:<46} {:>9.1} MiB more, at its peak",
        "one mail of 25 MB, its attachment kept",
        (process.peak()? - before) / MIB
    );
    process.end().await?;

    println!();
    println!("{} agents' mails to {} consumers, each answered after {:?}", out::MAILS, out::CONSUMERS, out::ANSWER);
    for connections in CONNECTIONS {
        sent(connections, &folder.path().join(format!("out-{connections}"))).await?;
    }
    Ok(())
}

/// A line of the table of mails that go out.
async fn sent(connections: usize, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(folder)?;
    let (http, file) = (address(), folder.join("causeway.toml"));
    let far = Far::open(http).await?;
    std::fs::write(&file, settings_with(folder, http, &far.genesys.base_url(), &far.keys(connections)))?;
    let arguments = ["run", "--config", file.to_str().context("a path that is text")?];
    let mut process = Process::start(&causeway()?, &arguments, &folder.join("causeway.log"))?;
    process.listens(http).await?;
    far.write().await?;
    let cpu = process.cpu()?;
    let (took, most) = far.take().await?;
    let cpu = process.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / out::MAILS as f64;
    let rate = out::MAILS as f64 / took.as_secs_f64();
    let name = format!("Causeway, {connections} connections");
    println!("{name:<46} {rate:>9.0}/s   {most} at a time at most   {cpu:.0} µs of a processor each");
    process.end().await
}

/// A bridge that listens.
async fn bridge(folder: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    std::fs::create_dir(folder)?;
    let at = address();
    let file = folder.join("causeway.toml");
    std::fs::write(&file, settings(folder, at))?;
    let arguments = ["run", "--config", file.to_str().context("a path that is text")?];
    let mut process = Process::start(&causeway()?, &arguments, &folder.join("causeway.log"))?;
    process.listens(at).await?;
    Ok((process, at))
}

/// A line of the table; mails a second.
async fn measured(name: &str, process: &Process, at: SocketAddr, long: Duration) -> anyhow::Result<f64> {
    // What is slow only once is not measured.
    Sender::connect(at).await?.mail(0).await?;
    let cpu = process.cpu()?;
    let Taken { mails, mut answers, took } = senders(at, AT_ONCE, long).await?;
    let cpu = process.cpu()?.saturating_sub(cpu);
    answers.sort_unstable();
    let part = |part: f64| {
        answers.get((answers.len() as f64 * part) as usize).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    let rate = mails as f64 / took.as_secs_f64();
    let cpu = cpu.as_secs_f64() * 1e6 / mails as f64;
    println!(
        "{name:<46} {rate:>9.0}/s   p50 {:.1} ms   p99 {:.1} ms   {cpu:.0} µs of a processor each",
        part(0.5),
        part(0.99)
    );
    Ok(rate)
}

/// The program beside this one, built for release.
fn causeway() -> anyhow::Result<std::path::PathBuf> {
    let exe = std::env::current_exe()?;
    let folder = exe.parent().and_then(Path::parent).context("a target folder")?;
    let program = folder.join("causeway");
    if !program.exists() {
        bail!("{} is missing: cargo build --release -p causeway", program.display());
    }
    Ok(program)
}
