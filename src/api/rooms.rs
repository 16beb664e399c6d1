use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use outlast_protocol::{Payload, Pos, RoomName, Sid};
use outlast_store::{Answer, OutcomeBody, Request};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiState, key, problem::Problem};

/// The state that a room shows to everybody, and its position.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shown {
    /// The room.
    #[schema(value_type = String, example = "chat/lobby")]
    room: RoomName,
    /// The last entry of its log that the state includes.
    #[schema(value_type = String, example = "15-4821")]
    pos: Pos,
    /// The state that it shows.
    #[schema(value_type = Object)]
    state: Payload,
}

/// The outcome of a post.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Posted {
    /// Where the room's log stood after it.
    #[schema(value_type = String, example = "16-4821")]
    pos: Pos,
    /// The room's answer.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Payload>,
}

/// A room that runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runs {
    /// The room.
    #[schema(value_type = String, example = "chat/lobby")]
    room: RoomName,
    /// The last entry of its log.
    #[schema(value_type = String, example = "15-4821")]
    pos: Pos,
}

/// Looks at a room.
#[utoipa::path(
    get,
    path = "/v1/rooms/{kind}/{name}",
    tag = "rooms",
    params(("kind", description = "chat, for example"), ("name", description = "lobby, for example")),
    responses(
        (status = 200, body = Shown),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem, description = "Nothing has ever happened in it, or it was forgotten"),
        (status = 503, body = Problem, description = "Try again"),
    ),
)]
pub(super) async fn look(
    State(ApiState { api, callers }): State<ApiState>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Shown>, Problem> {
    let caller = callers.caller(&headers)?;
    let room = named(path)?;
    caller.may_use(&room)?;
    let answer = api.asks.ask(&room, Sid::now_v7(), 0, Request::Look).await?;
    match answer {
        Answer::Seated {
            pos,
            state: Some(state),
            ..
        } if pos != Pos::START => Ok(Json(Shown { room, pos, state })),
        Answer::Seated { .. } => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_room",
            "nothing has ever happened in this room, or it was forgotten",
        )),
        Answer::NotTaken { message, .. } => Err(Problem::busy(message)),
        answer @ (Answer::Joined { .. }
        | Answer::Outcome(_)
        | Answer::Gap { .. }
        | Answer::Superseded { .. }) => Err(unexpected(&answer)),
    }
}

/// Says what was set aside in a room, and why it stands still, if it does.
#[utoipa::path(
    get,
    path = "/v1/rooms/{kind}/{name}/set-aside",
    tag = "rooms",
    params(("kind", description = "chat, for example"), ("name", description = "lobby, for example")),
    responses(
        (
            status = 200, body = Object,
            description = "`stopped` says why the room stands still, or null; `set_aside` has the inputs that were set aside, \
                           the newest of its partition, each with `at_ms` and the `input` as it came"
        ),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem, description = "Try again"),
    ),
)]
pub(super) async fn set_aside(
    State(ApiState { api, callers }): State<ApiState>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Payload>, Problem> {
    let caller = callers.caller(&headers)?;
    let room = named(path)?;
    caller.may_use(&room)?;
    let answer = api
        .asks
        .ask(&room, Sid::now_v7(), 0, Request::Inspect)
        .await?;
    match answer {
        Answer::Seated {
            state: Some(state), ..
        } => Ok(Json(state)),
        answer @ (Answer::Seated { .. }
        | Answer::NotTaken { .. }
        | Answer::Joined { .. }
        | Answer::Outcome(_)
        | Answer::Gap { .. }
        | Answer::Superseded { .. }) => Err(unexpected(&answer)),
    }
}

/// Has a room loaded again that stands still. One that runs is left alone.
#[utoipa::path(
    post,
    path = "/v1/rooms/{kind}/{name}/reload",
    tag = "rooms",
    params(("kind", description = "chat, for example"), ("name", description = "lobby, for example")),
    responses(
        (status = 200, body = Runs, description = "It runs"),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem, description = "There are no such rooms"),
        (status = 409, body = Problem, description = "It still stands still; the message says why"),
        (status = 503, body = Problem, description = "Nobody has answered: try again"),
    ),
)]
pub(super) async fn reload(
    State(ApiState { api, callers }): State<ApiState>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Runs>, Problem> {
    let caller = callers.caller(&headers)?;
    let room = named(path)?;
    caller.may_use(&room)?;
    let answer = api
        .asks
        .ask(&room, Sid::now_v7(), 0, Request::Reload)
        .await?;
    match answer {
        Answer::Seated { pos, .. } => Ok(Json(Runs { room, pos })),
        Answer::NotTaken {
            retry_ms: Some(_),
            message,
            ..
        } => Err(Problem::new(StatusCode::CONFLICT, "stopped", message)),
        Answer::NotTaken { code, message, .. } => {
            Err(Problem::new(StatusCode::NOT_FOUND, code, message))
        }
        answer @ (Answer::Joined { .. }
        | Answer::Outcome(_)
        | Answer::Gap { .. }
        | Answer::Superseded { .. }) => Err(unexpected(&answer)),
    }
}

/// Posts an action to a room, once for each key.
#[utoipa::path(
    post,
    path = "/v1/rooms/{kind}/{name}/actions",
    tag = "rooms",
    params(
        ("kind", description = "chat, for example"),
        ("name", description = "lobby, for example"),
        (
            "Idempotency-Key" = String, Header,
            description = "New for each action, and the same when it is sent again: however often that is, \
                           it counts once and is answered alike, for as long as rooms remember"
        ),
    ),
    request_body(content = Object, description = "The action, as a member would send it", content_type = "application/json"),
    responses(
        (status = 200, body = Posted),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem, description = "There are no such rooms"),
        (status = 422, body = Problem, description = "The room refuses it, and will refuse it again under this key"),
        (status = 503, body = Problem, description = "Nobody knows whether it was taken: try again, with the same key"),
    ),
)]
pub(super) async fn post(
    State(ApiState { api, callers }): State<ApiState>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Json<Box<serde_json::value::RawValue>>, axum::extract::rejection::JsonRejection>,
) -> Result<Json<Posted>, Problem> {
    let caller = callers.caller(&headers)?;
    let room = named(path)?;
    caller.may_use(&room)?;
    let sid = key::sid(&caller.user, &room, key::of(&headers)?);
    let Json(body) =
        body.map_err(|error| Problem::new(error.status(), "bad_body", error.body_text()))?;
    let data = Payload::from_json(String::from(Box::<str>::from(body)))
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad_body", error.to_string()))?;
    let user = caller.user;
    let answer = api
        .asks
        .ask(&room, sid, 0, Request::Post { user, data })
        .await?;
    match answer {
        Answer::Outcome(outcome) => match outcome.body {
            OutcomeBody::Done { data } => Ok(Json(Posted {
                pos: outcome.pos,
                data,
            })),
            OutcomeBody::Refused { code, message } => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                code,
                message,
            )),
            OutcomeBody::Left { .. } => Err(unexpected(&"left")),
        },
        Answer::NotTaken {
            retry_ms: Some(_),
            message,
            ..
        } => Err(Problem::busy(message)),
        Answer::NotTaken { code, message, .. } => {
            Err(Problem::new(StatusCode::NOT_FOUND, code, message))
        }
        answer @ (Answer::Joined { .. }
        | Answer::Gap { .. }
        | Answer::Seated { .. }
        | Answer::Superseded { .. }) => Err(unexpected(&answer)),
    }
}

fn named((kind, name): (String, String)) -> Result<RoomName, Problem> {
    let room = format!("{kind}/{name}").parse();
    room.map_err(|error: outlast_protocol::BadRoomName| {
        Problem::new(StatusCode::BAD_REQUEST, "bad_room", error.to_string())
    })
}

fn unexpected(answer: &impl std::fmt::Debug) -> Problem {
    tracing::error!(?answer, "room sent an unexpected answer");
    Problem::busy("the room has answered something else; try again")
}
