use axum::response::{Html, IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};
use uuid::Uuid;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// One file with everything in it. Only what carries this answer's nonce may run, and nothing may be fetched from elsewhere.
pub(super) async fn page() -> Response {
    let nonce = Uuid::new_v4().simple().to_string();
    let page = HTML.replace("{{css}}", CSS).replace("{{js}}", JS).replace("{{nonce}}", &nonce);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::from_str(&policy).expect("a nonce is hex");
    let plain = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        plain(header::CACHE_CONTROL, "no-store"),
        plain(header::REFERRER_POLICY, "no-referrer"),
        plain(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(page)).into_response()
}
