//! The demo pages and the JavaScript client, compiled into the binary.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "*.html"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
#[exclude = "test/*"]
#[exclude = "node_modules/*"]
struct Pages;

/// A router that serves them at `/`.
pub(crate) fn router() -> Router {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { page("index.html", &headers) }),
        )
        .route(
            "/{*path}",
            get(
                |Path(path): Path<String>, headers: HeaderMap| async move { page(&path, &headers) },
            ),
        )
}

/// Scripts, styles and sockets from here alone; nobody may frame a page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

fn page(path: &str, asked: &HeaderMap) -> Response {
    let Some(file) = Pages::get(path) else {
        return (StatusCode::NOT_FOUND, "There is no such page.\n").into_response();
    };
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..8]));
    let headers = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, &etag),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    if asked.get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes) == Some(etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, file.data).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_the_pages_are_in_the_binary_and_the_tests_are_not() {
        let index = page("index.html", &HeaderMap::new());
        assert_eq!(index.status(), StatusCode::OK);
        assert_eq!(
            index.headers()[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        assert!(
            Pages::iter().all(|path| !path.starts_with("test/") && !path.contains("node_modules"))
        );
        assert_eq!(
            page("no.html", &HeaderMap::new()).status(),
            StatusCode::NOT_FOUND
        );
    }

    #[test]
    fn a_page_that_has_not_changed_is_not_sent_again() {
        let first = page("index.html", &HeaderMap::new());
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(
            page("index.html", &asked).status(),
            StatusCode::NOT_MODIFIED
        );
    }
}
