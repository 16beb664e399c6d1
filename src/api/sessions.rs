use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
};
use futures_util::future;
use outlast_protocol::{Pos, RoomName, Sid};
use outlast_sessions::{Presence, SessionInfo};
use outlast_store::{Answer, Request};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, ApiState, problem::Problem};

/// A session, as its record stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// Which.
    #[schema(value_type = uuid::Uuid)]
    sid: Sid,
    /// Whose.
    user: String,
    /// The number of sockets that it has had.
    #[serde(rename = "gen")]
    generation: u64,
    /// True if it has a socket now.
    attached: bool,
    /// The gateway that holds its socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    /// Since when it has none, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    detached_since_ms: Option<u64>,
    /// Where it stands in its rooms.
    rooms: Vec<RoomPosition>,
}

/// Where a session stands in a room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RoomPosition {
    /// Which room.
    #[schema(value_type = String, example = "chat/lobby")]
    room: RoomName,
    /// The session's member number in the room; none while it is no member.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<u32>,
    /// Its last action that the room has applied.
    n: u64,
    /// The room's last entry.
    #[schema(value_type = String, example = "15-4821")]
    pos: Pos,
}

/// Which sessions to find.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Whose {
    /// Those of this user.
    user: String,
}

/// Finds a user's sessions.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "sessions",
    params(Whose),
    responses(
        (status = 200, body = Vec<String>, description = "Their ids"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 503, body = Problem, description = "Try again"),
    ),
)]
pub(super) async fn find(
    State(ApiState { api, callers }): State<ApiState>,
    Query(Whose { user }): Query<Whose>,
    headers: HeaderMap,
) -> Result<Json<Vec<Sid>>, Problem> {
    callers.caller(&headers)?;
    Ok(Json(api.sessions.of_user(&user).await?))
}

/// Looks at a session, and where it stands in its rooms.
#[utoipa::path(
    get,
    path = "/v1/sessions/{sid}",
    tag = "sessions",
    params(("sid", description = "Its id")),
    responses(
        (status = 200, body = Session),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 503, body = Problem, description = "Try again"),
    ),
)]
pub(super) async fn look(
    State(ApiState { api, callers }): State<ApiState>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Session>, Problem> {
    callers.caller(&headers)?;
    let sid = parsed(&sid)?;
    let found = api.sessions.find(sid).await?;
    let places = found
        .rooms
        .iter()
        .map(|room| place(&api, sid, &found, room));
    let rooms = future::try_join_all(places).await?;
    let (gateway, detached_since_ms) = match found.presence {
        Presence::Attached { gateway } => (Some(gateway.to_string()), None),
        Presence::Detached { since_ms } => (None, Some(since_ms)),
    };
    Ok(Json(Session {
        sid,
        user: found.user,
        generation: found.generation,
        attached: gateway.is_some(),
        gateway,
        detached_since_ms,
        rooms,
    }))
}

/// Ends a session: its socket is closed, its rooms are left, and what it sends later counts no more.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{sid}",
    tag = "sessions",
    params(("sid", description = "Its id")),
    responses(
        (status = 204, description = "It is over"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 503, body = Problem, description = "Try again"),
    ),
)]
pub(super) async fn end(
    State(ApiState { api, callers }): State<ApiState>,
    Path(sid): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let caller = callers.caller(&headers)?;
    let sid = parsed(&sid)?;
    api.sessions.end(sid, None).await?;
    tracing::info!(%sid, by = caller.user, "session ended by an operator");
    Ok(StatusCode::NO_CONTENT)
}

async fn place(
    api: &Api,
    sid: Sid,
    found: &SessionInfo,
    room: &RoomName,
) -> Result<RoomPosition, Problem> {
    let answer = api
        .asks
        .ask(room, sid, found.generation, Request::View)
        .await?;
    let (member, n, pos) = match answer {
        Answer::Seated { member, n, pos, .. } => (member, n, pos),
        Answer::Joined { .. }
        | Answer::Outcome(_)
        | Answer::Gap { .. }
        | Answer::NotTaken { .. }
        | Answer::Superseded { .. } => {
            return Err(Problem::busy(
                "the room has answered something else; try again",
            ));
        }
    };
    Ok(RoomPosition {
        room: room.clone(),
        member,
        n,
        pos,
    })
}

fn parsed(sid: &str) -> Result<Sid, Problem> {
    Sid::try_parse(sid).map_err(|_| Problem::no_session())
}
