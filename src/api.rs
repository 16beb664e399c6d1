//! The way in for backends and operators, over HTTP (SPEC section 13): what is asked here goes through the
//! same topics, rooms and records as what browsers ask, so it counts exactly once too.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    response::{IntoResponse, Response},
    routing::get,
};
use outlast_sessions::Sessions;
use outlast_store::SharedStore;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

mod access_policy;
mod key;
mod problem;
mod room_client;
mod rooms;
mod sessions;

pub(crate) use self::access_policy::AccessPolicy;
use self::{problem::Problem, room_client::RoomClient};

/// The largest action that a backend may post, in bytes: what a browser may send in a frame (F2).
const BODY_BYTES_MAX: usize = 65_536;

/// The state of the API's handlers.
#[derive(Clone)]
pub(crate) struct Api {
    asks: Arc<RoomClient>,
    sessions: Sessions,
}

/// The API on one listener.
#[derive(Clone)]
struct ApiState {
    api: Api,
    callers: AccessPolicy,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "outlast",
        description = "Post to rooms, look at them, and look after sessions. Every call needs a token with \
                       the claim `admin`, as `Authorization: Bearer`."
    ),
    components(schemas(problem::Problem))
)]
struct Description;

impl Api {
    /// An API over this store; starts to listen for what rooms answer.
    pub(crate) fn new(store: SharedStore, sessions: Sessions) -> Api {
        Api {
            asks: RoomClient::start(store),
            sessions,
        }
    }

    /// Its routes, for these callers, and its description at `/v1/openapi.json`.
    pub(crate) fn router(&self, callers: AccessPolicy) -> Router {
        let desk = ApiState {
            api: self.clone(),
            callers,
        };
        let (router, description) = routes();
        let description = Arc::new(description);
        router
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(desk)
            .route(
                "/v1/openapi.json",
                get(async move || Json(description.as_ref().clone())),
            )
    }
}

fn routes() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(rooms::look))
        .routes(routes!(rooms::post))
        .routes(routes!(rooms::reload))
        .routes(routes!(rooms::set_aside))
        .routes(routes!(sessions::find))
        .routes(routes!(sessions::look, sessions::end))
        .split_for_parts()
}

/// The answer while there is no store yet (L12).
pub(crate) async fn not_yet() -> Response {
    Problem::busy("the store is not there yet; try again").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_every_route() {
        let (_, description) = routes();
        let paths: Vec<_> = description.paths.paths.keys().collect();
        assert_eq!(
            paths,
            [
                "/v1/rooms/{kind}/{name}",
                "/v1/rooms/{kind}/{name}/actions",
                "/v1/rooms/{kind}/{name}/reload",
                "/v1/rooms/{kind}/{name}/set-aside",
                "/v1/sessions",
                "/v1/sessions/{sid}"
            ]
        );
    }

    #[test]
    fn the_description_in_docs_is_what_the_code_says() {
        let (_, description) = routes();
        let written = description.to_pretty_json().unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        if std::env::var_os("OUTLAST_WRITE_DOCS").is_some() {
            std::fs::write(path, format!("{written}\n")).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            kept.trim(),
            written,
            "run this test with OUTLAST_WRITE_DOCS=1 to write docs/openapi.json anew"
        );
    }
}
