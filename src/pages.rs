//! The demo pages (`web/pages/`) and the modules of the JavaScript client (`web/`), both served at `/`. A release build
//! embeds them; a debug build reads them from disk.

use std::{
    path::{Component, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "web/pages/"]
#[include = "*.html"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
struct Pages;

#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "outlast.js"]
#[include = "msgpack.js"]
#[include = "client/*.js"]
struct Client;

fn bundled(file: &str) -> Option<EmbeddedFile> {
    Pages::get(file).or_else(|| Client::get(file))
}

/// A router that serves both, and `index.html` for a folder. Files in the folder `own` take precedence.
pub(crate) fn router(own: Option<PathBuf>) -> Router {
    let own: Option<Arc<std::path::Path>> = own.map(Arc::from);
    let serve = move |path: String, headers: HeaderMap| {
        let own = own.clone();
        async move { page(own.as_deref(), &path, &headers).await }
    };
    let index = {
        let serve = serve.clone();
        move |headers: HeaderMap| serve(String::new(), headers)
    };
    Router::new().route("/", get(index)).route(
        "/{*path}",
        get(move |Path(path): Path<String>, headers: HeaderMap| serve(path, headers)),
    )
}

/// Allows scripts, styles, images and sockets of this origin only, and no framing.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

async fn page(own: Option<&std::path::Path>, path: &str, asked: &HeaderMap) -> Response {
    let file = if path.is_empty() || path.ends_with('/') {
        format!("{path}index.html")
    } else {
        path.to_owned()
    };
    if !is_inside(&file) {
        return not_found();
    }
    let headers = [
        (header::CONTENT_TYPE, content_type(&file)),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    if let Some(data) = read(own, &file).await {
        return (headers, data).into_response();
    }
    if let Some(bundled) = bundled(&file) {
        let etag = format!("\"{}\"", hex(&bundled.metadata.sha256_hash()[..8]));
        let tagged = [(header::ETAG, etag.clone())];
        if asked.get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes) == Some(etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, headers, tagged).into_response();
        }
        return (headers, tagged, bundled.data).into_response();
    }
    // A folder's relative links need its trailing slash.
    let index = format!("{path}/index.html");
    if bundled(&index).is_some() || read(own, &index).await.is_some() {
        return Redirect::permanent(&format!("/{path}/")).into_response();
    }
    not_found()
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "There is no such page.\n").into_response()
}

/// True for a relative path without `..`, which cannot leave the folder it is joined to.
fn is_inside(file: &str) -> bool {
    let normal = |part| matches!(part, Component::Normal(_));
    std::path::Path::new(file).components().all(normal)
}

async fn read(own: Option<&std::path::Path>, file: &str) -> Option<Vec<u8>> {
    tokio::fs::read(own?.join(file)).await.ok()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn l1_the_pages_and_the_client_are_served_and_nothing_else_of_their_folder() {
        for path in ["", "index.html", "chat/", "chat/index.html"] {
            let index = page(None, path, &HeaderMap::new()).await;
            assert_eq!(index.status(), StatusCode::OK, "{path:?}");
            assert_eq!(
                index.headers()[header::CONTENT_TYPE],
                "text/html; charset=utf-8"
            );
        }
        for path in ["page.js", "outlast.js", "msgpack.js", "client/session.js"] {
            let module = page(None, path, &HeaderMap::new()).await;
            assert_eq!(module.status(), StatusCode::OK, "{path:?}");
            assert_eq!(
                module.headers()[header::CONTENT_TYPE],
                "text/javascript; charset=utf-8"
            );
        }
        for path in [
            "no.html",
            "no/",
            "chat/no",
            "README.md",
            "package.json",
            "build.mjs",
            "pages/index.html",
            "client/../build.mjs",
            "client/../test/stage.js",
            "test/stage.js",
            "node_modules/ws/wrapper.mjs",
            "../Cargo.toml",
            "../outlast.js",
        ] {
            let status = page(None, path, &HeaderMap::new()).await.status();
            assert_eq!(status, StatusCode::NOT_FOUND, "{path:?}");
        }
    }

    #[tokio::test]
    async fn a_folder_without_its_slash_is_redirected_to_it() {
        let there = page(None, "chat", &HeaderMap::new()).await;
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

    #[tokio::test]
    async fn a_page_that_has_not_changed_is_not_sent_again() {
        let first = page(None, "index.html", &HeaderMap::new()).await;
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(
            page(None, "index.html", &asked).await.status(),
            StatusCode::NOT_MODIFIED
        );
    }

    #[tokio::test]
    async fn l4_pages_of_ones_own_come_first_and_the_client_is_always_there() {
        let above = tempfile::tempdir().unwrap();
        std::fs::write(above.path().join("secret.txt"), "secret").unwrap();
        let own = above.path().join("own");
        std::fs::create_dir_all(own.join("more")).unwrap();
        for file in ["index.html", "more/index.html", "more/a.png"] {
            std::fs::write(own.join(file), "mine").unwrap();
        }
        let ask = async |path: &str| {
            let response = page(Some(&own), path, &HeaderMap::new()).await;
            let status = response.status();
            let headers = response.headers().clone();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            (status, headers, body.unwrap())
        };
        for path in ["", "index.html", "more/", "more/a.png"] {
            let (status, headers, body) = ask(path).await;
            assert_eq!(
                (status, &body[..]),
                (StatusCode::OK, &b"mine"[..]),
                "{path}"
            );
            assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        }
        assert_eq!(ask("more").await.0, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(ask("more/a.png").await.1[header::CONTENT_TYPE], "image/png");
        assert_eq!(ask("outlast.js").await.0, StatusCode::OK);
        let absolute = above.path().join("secret.txt").display().to_string();
        for path in [
            "../secret.txt",
            "more/../../secret.txt",
            "./../secret.txt",
            &absolute,
        ] {
            assert_eq!(ask(path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
