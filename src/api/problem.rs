use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use outlast_sessions::SessionError;
use outlast_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// Why something was not done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// Why, for programs.
    #[schema(example = "bad_text")]
    code: String,
    /// Why, and what would do, for people.
    #[schema(example = "a message has 1 to 2000 characters, not 0")]
    message: String,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Problem {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// Nobody knows whether it was done: it may be repeated.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    pub(super) fn no_session() -> Self {
        let message = "there is no such session: it never was, was ended, or has expired";
        Problem::new(StatusCode::NOT_FOUND, "no_session", message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let retry = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, retry);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::debug!(%error, "store operation of an HTTP request failed");
        Problem::busy("the store cannot take it now; try again, with the same key")
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Gone => Problem::no_session(),
            SessionError::Store(error) => error.into(),
            error @ (SessionError::Superseded
            | SessionError::OtherUser
            | SessionError::TooMany { .. }
            | SessionError::TooManyRooms { .. }
            | SessionError::Unreadable(_)) => {
                tracing::error!(%error, "reading a session failed");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Problem::new(status, "unreadable", "this version cannot read the session")
            }
        }
    }
}
