//! The demo pages and the JavaScript client: compiled into a release build, read from `web/` by a debug build.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
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

/// A router that serves them at `/`, a folder's `index.html` as the folder.
pub(crate) fn router() -> Router {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { page("", &headers) }),
        )
        .route(
            "/{*path}",
            get(
                |Path(path): Path<String>, headers: HeaderMap| async move { page(&path, &headers) },
            ),
        )
}

/// Scripts, styles, images and sockets from here alone; nobody may frame a page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

fn page(path: &str, asked: &HeaderMap) -> Response {
    let path = if path.is_empty() || path.ends_with('/') {
        format!("{path}index.html")
    } else {
        path.to_owned()
    };
    let Some(file) = Pages::get(&path) else {
        return no_page(&path);
    };
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..8]));
    let headers = [
        (header::CONTENT_TYPE, content_type(&path)),
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

/// A folder asked for without its slash is shown the way to it.
fn no_page(path: &str) -> Response {
    if Pages::get(&format!("{path}/index.html")).is_some() {
        return Redirect::permanent(&format!("/{path}/")).into_response();
    }
    (StatusCode::NOT_FOUND, "There is no such page.\n").into_response()
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
        for path in ["", "index.html", "chat/", "chat/index.html"] {
            let index = page(path, &HeaderMap::new());
            assert_eq!(index.status(), StatusCode::OK, "{path:?}");
            assert_eq!(
                index.headers()[header::CONTENT_TYPE],
                "text/html; charset=utf-8"
            );
        }
        assert!(
            Pages::iter().all(|path| !path.starts_with("test/") && !path.contains("node_modules"))
        );
        for path in ["no.html", "no/", "chat/no", "package.json", "../Cargo.toml"] {
            let status = page(path, &HeaderMap::new()).status();
            assert_eq!(status, StatusCode::NOT_FOUND, "{path:?}");
        }
    }

    #[test]
    fn a_folder_without_its_slash_is_shown_the_way() {
        let there = page("chat", &HeaderMap::new());
        assert_eq!(there.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(there.headers()[header::LOCATION], "/chat/");
    }

    #[test]
    fn nothing_inline_is_in_a_page() {
        for path in Pages::iter().filter(|path| path.ends_with(".html")) {
            let file = Pages::get(&path).unwrap();
            let text = String::from_utf8(file.data.into_owned()).unwrap();
            for inline in ["<style", " style=", " onclick=", "<script>", "javascript:"] {
                assert!(!text.contains(inline), "{inline:?} in {path}");
            }
        }
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
