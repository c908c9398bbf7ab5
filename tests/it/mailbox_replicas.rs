//! Two replicas over one mailbox: one reads it, and when it is killed the other goes on from where it was.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use crate::mailboxes::{dovecot, ids, put, put_old, settings};
use crate::settings::Queues;
use crate::town::Town;

/// The lease of whoever watches a mailbox, and how often the others ask for it (`ingress`).
const LEASE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(10);
/// For a mail to be read and given to the agent, on a slow machine.
const WORK: Duration = Duration::from_secs(60);
/// How many are put at a time.
const SOME: usize = 20;

impl Town {
    /// Mails a process took out of the mailbox.
    fn taken_by(&self, process: &str) -> usize {
        let log = fs::read_to_string(self.log(process)).expect("it has a log");
        log.matches("a consumer's mail was accepted").count()
    }

    fn mails_of_agent(&self) -> Vec<String> {
        self.genesys.messages().into_iter().filter_map(|mail| mail.message_id).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_reads_a_mailbox_and_the_other_goes_on() {
    let (queues, dovecot) = (Queues::rabbitmq(), dovecot());
    put_old(&dovecot, 100);
    let town = Town::with(settings(queues.clone(), &dovecot, None)).await;
    let agent = town.start_replica("genesys-outbound", "genesys-outbound", queues.clone()).await;
    let first = town.start_replica("ingress", "ingress", queues.clone()).await;
    // Once it has brought one mail, it is the one that holds the mailbox.
    put(&dovecot, "begin");
    town.agent_sees(1).await;
    let second = town.start_replica("stand-by", "ingress", queues.clone()).await;
    let names: Vec<String> = (0..3 * SOME).map(|number| format!("m{number}")).collect();
    let (before, rest) = names.split_at(SOME);
    let (during, after) = rest.split_at(SOME);
    before.iter().for_each(|name| put(&dovecot, name));
    town.agent_sees(1 + SOME as u64).await;
    assert_eq!((town.taken_by("ingress"), town.taken_by("stand-by")), (1 + SOME, 0), "one of the two reads it");

    during.iter().for_each(|name| put(&dovecot, name));
    first.kill().await;
    let killed = Instant::now();
    after.iter().for_each(|name| put(&dovecot, name));
    town.agent_sees(1 + names.len() as u64).await;
    let took = killed.elapsed();
    assert!(took < LEASE + AGAIN + WORK, "the other went on after {took:?}");
    let begin = "begin".to_owned();
    let expected: Vec<&str> = std::iter::once(&begin).chain(&names).map(String::as_str).collect();
    let sorted = |mut all: Vec<String>| {
        all.sort_unstable();
        all
    };
    assert_eq!(sorted(town.mails_of_agent()), sorted(ids(&expected)), "each once, and nothing old");
    // What the first one had taken and not noted is the most that was read twice.
    let read = town.taken_by("ingress") + town.taken_by("stand-by");
    assert!(read <= expected.len() + 1, "{read} were read of {}", expected.len());
    assert!(town.taken_by("stand-by") >= SOME);

    // The one that comes back finds the mailbox held, and leaves it alone.
    let first = town.start_replica("ingress", "ingress", queues).await;
    let noted = town.taken_by("ingress");
    put(&dovecot, "end");
    town.agent_sees(2 + names.len() as u64).await;
    assert_eq!(town.taken_by("ingress"), noted);
    town.end(vec![first, second, agent]).await;
}
