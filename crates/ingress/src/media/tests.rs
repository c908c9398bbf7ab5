use std::time::Duration;

use blobs::{Check, Config, Links, Place};
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::BodyExt;
use jiff::SignedDuration;
use runtime::{HttpClient, HttpClientConfig, ManualClock};
use secrecy::SecretString;
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

struct House {
    router: Router,
    store: Store,
    links: Links,
    clock: Clock,
    hand: ManualClock,
    _folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let http = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
        let (clock, hand) = Clock::manual("2026-11-21T10:00:00Z".parse().unwrap());
        let place = Place::Folder(folder.path().to_owned());
        let store = Store::open(&Config { place }, &HttpClient::new(&http).unwrap(), clock.clone()).unwrap();
        let keys = Keys::new(vec![SecretString::from("key")]).unwrap();
        let (_, signing) = watch::channel(Some(Arc::new(keys.clone())));
        let links = Links { keys, public_url: String::new(), ttl: Duration::from_secs(3600) };
        let router = media_routes(Media { store: store.clone(), keys: signing, clock: clock.clone() });
        Self { router, store, links, clock, hand, _folder: folder }
    }

    async fn keep(&self, bytes: &'static [u8], name: &str) -> String {
        let id = BlobId::derive(&[name]);
        let types = ["image/png", "text/html", "image/svg+xml", "application/pdf"].map(str::to_owned).to_vec();
        let check = Check { limit: 1 << 20, allowed: types, declared_type: None, declared_size: None };
        let body = stream::iter([Ok::<_, String>(Bytes::from_static(bytes))]);
        self.store.put(&id, Some(name.to_owned().into()), &check, body).await.unwrap();
        self.links.link(&id, self.clock.now()).into_inner()
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10 and its bytes";

#[tokio::test]
async fn a_link_opens_its_file() {
    let house = House::new();
    let link = house.keep(PNG, "Föto \"1\".png").await;
    let (status, headers, body) = house.ask(Method::GET, &link, &[]).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, PNG));
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-length"], PNG.len().to_string());
    let name = "inline; filename=\"F_to _1_.png\"; filename*=UTF-8''F%C3%B6to%20%221%22.png";
    assert_eq!(headers["content-disposition"], name);
    let (status, headers, body) = house.ask(Method::HEAD, &link, &[]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    assert_eq!(headers["content-length"], PNG.len().to_string());
    let (status, ..) = house.ask(Method::POST, &link, &[]).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn parts_of_a_file_are_given() {
    let house = House::new();
    let link = house.keep(PNG, "a.png").await;
    let size = PNG.len();
    for (range, from, to) in
        [("bytes=0-0", 0, 1), ("bytes=5-", 5, size), ("bytes=-4", size - 4, size), ("bytes=3-9999", 3, size)]
    {
        let (status, headers, body) = house.ask(Method::GET, &link, &[("range", range)]).await;
        assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, &PNG[from..to]), "{range}");
        assert_eq!(headers["content-range"], format!("bytes {from}-{}/{size}", to - 1));
    }
    for range in [format!("bytes={size}-"), "bytes=-0".to_owned()] {
        let (status, headers, _) = house.ask(Method::GET, &link, &[("range", &range)]).await;
        assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(headers["content-range"], format!("bytes */{size}"));
    }
    for odd in ["bytes=0-1,3-4", "bytes=9-1", "lines=1-2", "bytes=a-b"] {
        assert_eq!(house.ask(Method::GET, &link, &[("range", odd)]).await.0, StatusCode::OK, "{odd}");
    }
    let other = [("range", "bytes=0-0"), ("if-range", "\"another\"")];
    assert_eq!(house.ask(Method::GET, &link, &other).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_a_browser_might_act_on_is_only_given_to_be_saved() {
    let house = House::new();
    for (bytes, name) in
        [(&b"<html><script>alert(1)"[..], "a.html"), (b"<svg onload=x>", "a.svg"), (b"%PDF-1.7 x", "a.pdf")]
    {
        let link = house.keep(bytes, name).await;
        let (_, headers, _) = house.ask(Method::GET, &link, &[]).await;
        assert!(headers["content-disposition"].to_str().unwrap().starts_with("attachment"), "{name}");
        assert_eq!(headers["content-security-policy"], "default-src 'none'; sandbox");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn a_changed_token_is_nothing_and_an_old_one_is_gone() {
    let house = House::new();
    let link = house.keep(PNG, "a.png").await;
    let changed = format!("{}A", &link[..link.len() - 1]);
    let unknown = house.ask(Method::GET, "/media/AQAAAA", &[]).await;
    for path in [changed.as_str(), "/media/..%2f..%2fetc%2fpasswd", "/media/%00"] {
        let answer = house.ask(Method::GET, path, &[]).await;
        assert_eq!((answer.0, &answer.2), (StatusCode::NOT_FOUND, &unknown.2), "{path}");
    }
    for nothing in ["/media", "/media/"] {
        assert_eq!(house.ask(Method::GET, nothing, &[]).await.0, StatusCode::NOT_FOUND);
    }
    house.hand.advance(SignedDuration::from_hours(2));
    assert_eq!(house.ask(Method::GET, &link, &[]).await.0, StatusCode::GONE);
    assert_eq!(house.ask(Method::GET, &changed, &[]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_file_that_was_swept_is_nothing() {
    let house = House::new();
    let never_kept = house.links.link(&BlobId::derive(&["x"]), house.clock.now()).into_inner();
    assert_eq!(house.ask(Method::GET, &never_kept, &[]).await.0, StatusCode::NOT_FOUND);
}
