//! RabbitMQ's management API, for what AMQP does not tell: alarms, policies in effect, and which consumers are alive.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use lapin::uri::AMQPUri;
use runtime::{Call, HttpClient, url_segment};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::topology::EXCHANGE;
use crate::{QueueName, Topology};

/// An answer takes RabbitMQ a moment where there are many queues.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Two weeks: dead letters hold message bodies.
const KEEP_DEAD: u64 = 1_209_600_000;
/// The name of the policy that belongs to the topology, and the queues it is for.
const POLICY: (&str, &str) = ("causeway-dead", r"^causeway\.dead\.");
/// What a policy must not do to a queue of ours, and why.
const HARMFUL: [(&str, &str); 5] = [
    ("message-ttl", "messages that wait longer are lost"),
    ("max-length", "messages above it are lost or refused"),
    ("max-length-bytes", "messages above it are lost or refused"),
    ("expires", "the queue is deleted with all it holds when nobody reads it"),
    ("dead-letter-exchange", "messages leave for a place the bridge does not look at"),
];

/// The policies that belong to the topology, for whoever owns the broker to set (design 3.4).
pub fn policies() -> Vec<String> {
    let (name, pattern) = POLICY;
    vec![
        "policies to set, with rabbitmqctl or your operator:".to_owned(),
        format!(r#"  rabbitmqctl set_policy {name} '{pattern}' '{{"message-ttl":{KEEP_DEAD}}}' --apply-to queues"#),
        format!("  (dead letters hold message bodies; {KEEP_DEAD} ms are 14 days)"),
    ]
}

/// The management API of one broker.
pub struct Management {
    base: String,
    vhost: String,
    http: HttpClient,
}

impl Management {
    /// `url` with user and password, as in `http://user:password@host:15672`; `amqp` names the virtual host.
    ///
    /// # Errors
    /// `amqp` is no AMQP URL.
    pub fn new(url: &SecretString, amqp: &SecretString, http: HttpClient) -> anyhow::Result<Self> {
        // The cause is left out: it may quote the URL, which holds a password.
        let amqp: AMQPUri = amqp.expose_secret().parse().map_err(|_| anyhow!("broker.url is no AMQP URL"))?;
        Ok(Self { base: url.expose_secret().trim_end_matches('/').to_owned(), vhost: amqp.vhost, http })
    }

    /// What is wrong with RabbitMQ or its queues, each with what to do.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn findings(&self, topology: &Topology) -> anyhow::Result<Vec<String>> {
        let vhost = url_segment(&self.vhost);
        let overview = self.get("/api/overview".to_owned()).await?;
        let nodes = self.get("/api/nodes?columns=name,running,mem_alarm,disk_free_alarm,partitions".to_owned()).await?;
        let columns = "name,arguments,effective_policy_definition,policy,state,messages,consumers";
        let queues = self.get(format!("/api/queues/{vhost}?columns={columns}")).await?;
        let columns = "queue.name,consumer_tag,active,activity_status,channel_details.connection_name";
        let consumers = self.get(format!("/api/consumers/{vhost}?columns={columns}")).await?;
        let mut found = of_nodes(&nodes);
        found.extend(of_queues(&queues, topology, limits(&overview)));
        found.extend(of_consumers(&consumers));
        Ok(found)
    }

    /// Sets the policies that belong to the topology; what was set, line by line.
    ///
    /// # Errors
    /// It cannot be asked, or the user may not set policies.
    pub async fn apply_policies(&self) -> anyhow::Result<Vec<String>> {
        let (name, pattern) = POLICY;
        let definition = json!({ "message-ttl": KEEP_DEAD });
        let policy = json!({ "pattern": pattern, "definition": definition, "apply-to": "queues", "priority": 0 });
        let path = format!("/api/policies/{}/{name}", url_segment(&self.vhost));
        self.call(Method::PUT, path, Bytes::from(policy.to_string())).await?;
        Ok(vec![format!("policy {name}: dead letters are kept for 14 days")])
    }

    async fn get(&self, path: String) -> anyhow::Result<Value> {
        let body = self.call(Method::GET, path, Bytes::new()).await?;
        serde_json::from_slice(&body).context("RabbitMQ's management API answered more than can be read, or no JSON")
    }

    async fn call(&self, method: Method, path: String, body: Bytes) -> anyhow::Result<Bytes> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let call = Call { method, url: format!("{}{path}", self.base), headers, body, timeout: TIMEOUT };
        let answer = self.http.call("rabbitmq", "management", call).await;
        let answer =
            answer.map_err(|error| anyhow!("RabbitMQ's management API: {error}; check broker.management_url"))?;
        match answer.status.as_u16() {
            200..=299 => Ok(answer.body),
            401 => bail!(
                "RabbitMQ's management API refuses the login of broker.management_url (401); give its user the tag policymaker or monitoring"
            ),
            404 => bail!(
                "RabbitMQ's management API does not know what it is asked (404); check broker.management_url and the virtual host"
            ),
            status => bail!("RabbitMQ's management API answered {status}"),
        }
    }
}

/// Whether queues have a delivery limit unless told otherwise, which is so from 4.0 on.
fn limits(overview: &Value) -> bool {
    let version = overview["rabbitmq_version"].as_str().unwrap_or_default();
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 4)
}

fn of_nodes(nodes: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for node in nodes.as_array().into_iter().flatten() {
        let name = node["name"].as_str().unwrap_or("a node");
        let mut told = |wrong: bool, what: &str| found.extend(wrong.then(|| format!("RabbitMQ node {name} {what}")));
        told(node["running"] == json!(false), "is down; start it");
        told(
            node["mem_alarm"] == json!(true),
            "has a memory alarm, and blocks publishers; free memory, or raise its high watermark",
        );
        told(node["disk_free_alarm"] == json!(true), "has a disk alarm, and blocks publishers; free disk space");
        let apart = node["partitions"].as_array().is_some_and(|others| !others.is_empty());
        told(apart, "was cut off from others of its cluster; see RabbitMQ's guide on network partitions");
    }
    found
}

fn of_queues(queues: &Value, topology: &Topology, limits: bool) -> Vec<String> {
    let known: HashSet<String> =
        topology.work_queues().iter().chain(&Topology::dead_queues()).map(ToString::to_string).collect();
    let dead: HashSet<String> = Topology::dead_queues().iter().map(QueueName::to_string).collect();
    let mut found = Vec::new();
    for queue in queues.as_array().into_iter().flatten() {
        let Some(name) = queue["name"].as_str().filter(|name| name.starts_with(&format!("{EXCHANGE}."))) else {
            continue;
        };
        if !known.contains(name) {
            let messages = queue["messages"].as_u64().unwrap_or_default();
            found.push(format!(
                "{name} is left over from another number of partitions or a neighbour that is not configured, and holds {messages} \
                 messages that nobody reads; drain it with the configuration it was made under, then delete it"
            ));
            continue;
        }
        let told = of_policy(name, queue, dead.contains(name), limits);
        found.extend(told);
        if queue["state"].as_str().is_some_and(|state| !matches!(state, "running" | "idle" | "flow")) {
            let state = queue["state"].as_str().unwrap_or_default();
            found.push(format!("{name} is {state}: most of its replicas are away; start the nodes that hold them"));
        }
    }
    found
}

/// What the policies and operator policies in effect do to a queue.
fn of_policy(name: &str, queue: &Value, dead: bool, limits: bool) -> Vec<String> {
    let policy = &queue["effective_policy_definition"];
    let called = queue["policy"].as_str().unwrap_or("(an operator policy)");
    let mut found = Vec::new();
    // Dead letters are meant to be forgotten in time.
    for (key, harm) in HARMFUL.into_iter().filter(|(key, _)| !dead || *key != "message-ttl") {
        if !policy[key].is_null() {
            found.push(format!("policy {called} sets {key} on {name}: {harm}; take it away"));
        }
    }
    let told = "a message that is handed back more often is lost; set a policy with delivery-limit=-1";
    match (policy["delivery-limit"].as_i64(), queue["arguments"]["x-delivery-limit"].as_i64()) {
        (Some(limit), _) if limit >= 0 => {
            found.push(format!("policy {called} sets delivery-limit={limit} on {name}: {told} instead"));
        }
        (_, Some(limit)) if limit >= 0 => found.push(format!(
            "{name} was made with x-delivery-limit={limit}: {told}, or drain it, delete it, and let the bridge make it again"
        )),
        (None, Some(_)) if !limits => found.push(format!(
            "{name} was made with x-delivery-limit=-1, which RabbitMQ before 4.0 takes for a limit: a message that is handed back is \
             lost; drain it, delete it, and let the bridge make it again"
        )),
        (None, None) if limits => found.push(format!("{name} has RabbitMQ's own delivery limit of 20: {told}")),
        _ => {}
    }
    if dead && policy["message-ttl"].is_null() {
        found.push(format!(
            "{name} keeps message bodies for ever; `causeway topology apply` sets the policy of 14 days"
        ));
    }
    found
}

/// Consumers that are listed, and get nothing; and queues where none of those listed is the active one.
fn of_consumers(consumers: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut active: BTreeMap<&str, bool> = BTreeMap::new();
    for consumer in consumers.as_array().into_iter().flatten() {
        let ours =
            |name: &&str| name.starts_with(&format!("{EXCHANGE}.")) && !name.starts_with(&format!("{EXCHANGE}.dead."));
        let Some(queue) = consumer["queue"]["name"].as_str().filter(ours) else { continue };
        let status = consumer["activity_status"].as_str().unwrap_or("up");
        let gone = consumer["channel_details"]["connection_name"].as_str().is_none();
        if status == "suspected_down" || gone {
            let why = if gone { "its channel is gone" } else { "RabbitMQ suspects it is down" };
            found.push(format!("{queue} lists a consumer that is dead ({why}); close its connection in RabbitMQ, or restart its process"));
        }
        *active.entry(queue).or_default() |= consumer["active"] == json!(true) && !gone && status != "suspected_down";
    }
    let idle = active.into_iter().filter(|(_, active)| !active);
    found.extend(idle.map(|(queue, _)| {
        format!("{queue} has consumers and none of them is active; its messages wait. Restart the role that reads it")
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::NeighbourName;

    fn topology() -> Topology {
        let names = |name: &str| vec![NeighbourName::new(name)];
        Topology { partitions: 2, genesys: names("main"), providers: names("crexendo") }
    }

    fn queue(name: &str, policy: Value) -> Value {
        let arguments = json!({ "x-delivery-limit": -1, "x-queue-type": "quorum" });
        json!([{ "name": name, "arguments": arguments, "effective_policy_definition": policy, "policy": "strict", "state": "running", "messages": 3 }])
    }

    fn one(found: Vec<String>, expected: &str) {
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
    }

    #[test]
    fn policies_that_hurt_are_found() {
        let found = |name: &str, policy: Value| of_queues(&queue(name, policy), &topology(), true);
        let (work, dead) = ("causeway.inbound.main.1", "causeway.dead.replies");
        assert!(found(work, json!({})).is_empty() && found(work, json!({ "delivery-limit": -1 })).is_empty());
        assert!(found(dead, json!({ "message-ttl": KEEP_DEAD })).is_empty());
        for (key, _) in HARMFUL {
            one(found(work, json!({ key: 5 })), &format!("policy strict sets {key} on {work}"));
        }
        one(found(work, json!({ "delivery-limit": 5 })), "delivery-limit=5");
        one(found(dead, json!({})), "keeps message bodies for ever");
        one(found("causeway.inbound.main.2", json!({})), "left over");
        one(found("causeway.replies.other.0", json!({})), "holds 3 messages");
        assert!(found("somebody.elses", json!({ "max-length": 1 })).is_empty());
    }

    #[test]
    fn a_limit_a_queue_was_made_with_is_found() {
        let name = "causeway.inbound.main.0";
        let found = |limit: i64, policy: Value, limits: bool| {
            let arguments = json!({ "x-delivery-limit": limit });
            let queue = json!([{ "name": name, "arguments": arguments, "effective_policy_definition": policy, "state": "running" }]);
            of_queues(&queue, &topology(), limits)
        };
        for limits in [true, false] {
            one(found(7, json!({}), limits), "made with x-delivery-limit=7");
            one(found(7, json!({ "delivery-limit": 3 }), limits), "sets delivery-limit=3");
        }
        one(found(-1, json!({}), false), "before 4.0");
        assert!(found(-1, json!({}), true).is_empty());
    }

    #[test]
    fn a_limit_that_nobody_set_is_found_where_there_is_one() {
        let queues = json!([{ "name": "causeway.inbound.main.0", "arguments": {}, "state": "running" }]);
        one(of_queues(&queues, &topology(), true), "delivery limit of 20");
        assert!(of_queues(&queues, &topology(), false).is_empty());
        assert!(limits(&json!({ "rabbitmq_version": "4.3.6" })) && !limits(&json!({ "rabbitmq_version": "3.10.8" })));
        let down = json!([{ "name": "causeway.inbound.main.0", "arguments": {}, "state": "minority" }]);
        one(of_queues(&down, &topology(), false), "is minority");
    }

    #[test]
    fn alarms_of_nodes_are_found() {
        let well =
            json!({ "name": "a@b", "running": true, "mem_alarm": false, "disk_free_alarm": false, "partitions": [] });
        assert!(of_nodes(&json!([well])).is_empty());
        for (key, value, expected) in [
            ("running", json!(false), "is down"),
            ("mem_alarm", json!(true), "memory alarm"),
            ("disk_free_alarm", json!(true), "disk alarm"),
            ("partitions", json!(["c@d"]), "cut off"),
        ] {
            let mut node = well.clone();
            node[key] = value;
            one(of_nodes(&json!([node])), expected);
        }
    }

    #[test]
    fn consumers_that_are_listed_and_dead_are_found() {
        let consumer = |active: bool, status: &str, channel: Value| {
            let queue = json!({ "name": "causeway.inbound.main.0" });
            json!({ "queue": queue, "active": active, "activity_status": status, "channel_details": channel })
        };
        let channel = || json!({ "connection_name": "causeway" });
        let active = consumer(true, "single_active", channel());
        let waiting = consumer(false, "waiting", channel());
        assert!(of_consumers(&json!([active, waiting])).is_empty());
        one(of_consumers(&json!([waiting])), "none of them is active");
        one(of_consumers(&json!([active, consumer(false, "suspected_down", channel())])), "suspects it is down");
        one(of_consumers(&json!([active, consumer(false, "waiting", json!([]))])), "its channel is gone");
        assert_eq!(of_consumers(&json!([consumer(true, "single_active", json!({}))])).len(), 2);
    }
}
