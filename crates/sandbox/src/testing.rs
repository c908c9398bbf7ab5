//! A stand-in for the bridge: a real server that keeps what is posted to it and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use runtime::http_server::{Limits, read_body, serve};
use runtime::{Answer, Call, CallError, HttpClient, Shutdown};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::genesys::client;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One post as it came.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Post {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the post is JSON")
    }
}

#[derive(Default)]
struct Desk {
    posts: watch::Sender<Vec<Post>>,
    answers: Mutex<VecDeque<(StatusCode, String)>>,
}

pub(crate) struct Bridge {
    pub(crate) url: String,
    desk: Arc<Desk>,
    _server: JoinSet<anyhow::Result<()>>,
}

impl Bridge {
    pub(crate) async fn start() -> Self {
        let desk = Arc::new(Desk::default());
        let router = Router::new().route("/hook", post(hook)).with_state(Arc::clone(&desk));
        let listener = listener().await;
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, None, router, Limits::default(), Shutdown::new()));
        Self { url, desk, _server: server }
    }

    /// The next post is answered so; where nothing is said, 200 with an empty object.
    pub(crate) fn will_answer(&self, status: StatusCode, body: &str) {
        self.desk.answers.lock().expect("no test panics in here").push_back((status, body.to_owned()));
    }

    pub(crate) async fn posts(&self, least: usize) -> Vec<Post> {
        let mut posts = self.desk.posts.subscribe();
        let enough = tokio::time::timeout(PATIENCE, posts.wait_for(|posts| posts.len() >= least)).await;
        enough.expect("the posts come in time").expect("the desk is there").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.desk.posts.borrow().len()
    }
}

async fn hook(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Body) -> Response {
    let body = read_body(&headers, body, 1 << 20, PATIENCE).await.expect("a whole body");
    let answer = desk.answers.lock().expect("no test panics in here").pop_front();
    desk.posts.send_modify(|posts| posts.push(Post { headers, body }));
    answer.unwrap_or((StatusCode::OK, "{}".to_owned())).into_response()
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

/// One call of the bridge.
pub(crate) struct Caller(HttpClient);

impl Caller {
    pub(crate) fn new() -> Self {
        Self(client())
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let header = |(name, value): &(&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            (name, HeaderValue::from_str(value).expect("a header value"))
        };
        let headers = headers.iter().map(header).collect();
        let call =
            Call { method, url: url.to_owned(), headers, body: Bytes::copy_from_slice(body.as_bytes()), timeout };
        self.0.call("sandbox", "test", call).await
    }
}

pub(crate) fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).expect("the answer is JSON")
}
