//! One file, shared by several ledgers and several processes, some of which die.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ledger::contract::effect;
use ledger::{Begin, Ledger, Outcome};
use runtime::Clock;

const CALL: Duration = Duration::from_secs(15);
const EFFECTS: usize = 256;
const LANES: usize = 8;

async fn open(path: &Path, sole_owner: bool) -> Ledger {
    Ledger::open(common::config(path, sole_owner), Clock::system()).await.expect("a ledger")
}

/// Begins every effect, in lanes that run at once, so that many transactions meet; tells which it was first at.
async fn begin_all(ledger: &Ledger) -> Vec<usize> {
    let mut running = tokio::task::JoinSet::new();
    for lane in 0..LANES {
        let ledger = ledger.clone();
        running.spawn(async move {
            let mut firsts = Vec::new();
            for number in (lane..EFFECTS).step_by(LANES) {
                let begun = ledger.begin(effect(&number.to_string()), CALL).await.expect("it answers");
                firsts.extend(matches!(begun, Begin::First(_)).then_some(number));
            }
            firsts
        });
    }
    running.join_all().await.into_iter().flatten().collect()
}

/// The child of the tests below: begins when it is told to, says what it was first at, and hangs, to be killed.
#[tokio::test]
#[ignore = "it is the child of another test"]
async fn child() {
    let path = std::env::var_os("LEDGER_TEST_PATH").expect("the parent says where");
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let ledger = open(Path::new(&path), false).await;
    for first in begin_all(&ledger).await {
        println!("\nfirst {first}");
    }
    println!("\nbegun");
    std::future::pending::<()>().await;
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--ignored", "--exact", "--nocapture", "child"])
            .env("LEDGER_TEST_PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut process = Self { child, lines };
        assert!(process.line(|line| (line == "ready").then_some(())).is_some(), "the child is ready");
        process
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().expect("it is piped").write_all(b"\n").expect("it listens");
    }

    fn line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.lines.by_ref().find_map(|line| wanted(&line.expect("it is text")))
    }

    /// Until it has begun everything.
    fn firsts(&mut self) -> Vec<usize> {
        let mut firsts = Vec::new();
        loop {
            let told = self.line(|line| match line.strip_prefix("first ") {
                Some(number) => Some(Some(number.parse().expect("it is a number"))),
                None => (line == "begun").then_some(None),
            });
            match told.expect("it begins everything before it ends") {
                Some(first) => firsts.push(first),
                None => break,
            }
        }
        firsts
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it is ours to kill");
    }
}

#[test]
fn threads_and_processes_agree_who_is_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut processes = [Process::start(&path), Process::start(&path)];
    // The file is not there yet: four make it at once.
    processes.iter_mut().for_each(Process::go);
    let thread = || {
        let path = path.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { begin_all(&open(&path, false).await).await })
        })
    };
    let threads = [thread(), thread()];
    let mut firsts: BTreeMap<usize, usize> = BTreeMap::new();
    for first in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
        *firsts.entry(first).or_default() += 1;
    }
    for first in processes.iter_mut().flat_map(Process::firsts) {
        *firsts.entry(first).or_default() += 1;
    }
    assert_eq!(firsts, (0..EFFECTS).map(|number| (number, 1)).collect());
}

#[tokio::test]
async fn what_a_killed_process_was_told_is_there_and_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut process = Process::start(&path);
    process.go();
    assert_eq!(process.firsts().len(), EFFECTS);
    drop(process);
    let beside = open(&path, false).await;
    let alone = open(&path, true).await;
    for number in 0..EFFECTS {
        let one = effect(&number.to_string());
        let now = beside.check().await.unwrap();
        let Begin::Interrupted { attempt, until, begun, .. } = beside.begin(one.clone(), CALL).await.unwrap() else {
            panic!("it was begun, and nobody knows its end")
        };
        assert_eq!(begun, 1);
        assert!(until > now, "another process of the machine may still be calling");
        assert_eq!(beside.retake(&one, &attempt, CALL).await.unwrap(), None);
        let Begin::Interrupted { until, .. } = alone.begin(one.clone(), CALL).await.unwrap() else {
            panic!("it was begun, and nobody knows its end")
        };
        assert!(until <= alone.check().await.unwrap(), "its process is dead, so its deadline is over");
    }
    let Begin::Interrupted { attempt, .. } = alone.begin(effect("0"), CALL).await.unwrap() else { panic!("as before") };
    alone.retake(&effect("0"), &attempt, CALL).await.unwrap().expect("a dead process calls nobody");
    let Begin::Interrupted { attempt, .. } = alone.begin(effect("1"), CALL).await.unwrap() else { panic!("as before") };
    let found = Outcome::Sent { foreign_id: Some("p1".to_owned()) };
    alone.finish(&effect("1"), &attempt, found.clone()).await.unwrap();
    assert_eq!(beside.begin(effect("1"), CALL).await.unwrap(), Begin::Done(found));
}
