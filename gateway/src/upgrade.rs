//! `GET /v1/connect`: from HTTP to a WebSocket (H1, H4).

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderValue, Request, Response, StatusCode,
        header::{AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL},
    },
    response::IntoResponse,
};
use outlast_protocol::Codec;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::{
    connection_limit::Arrival,
    first_frame::Sent,
    gateway::Shared,
    is_local, origin,
    serve::{Upgrade, serve},
};

/// Returns a request to connect.
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    Extension(arrival): Extension<Arrival>,
    mut request: Request<Body>,
) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (response, codec, sent) = match check(&shared, &request) {
        Ok(checked) => checked,
        Err(refusal) => return refusal.into_response(),
    };
    let upgrade = Box::new(Upgrade {
        upgrade,
        codec,
        arrival,
        sent,
    });
    shared.sockets.spawn(serve(shared.clone(), upgrade));
    response
}

/// Why a request does not become a socket.
enum Refusal {
    /// The gateway goes away (D3).
    Closing,
    /// The request is not one for a WebSocket.
    NoWebSocket(String),
    /// A page of another site sent it (H4).
    Origin,
    /// The client speaks nothing that is spoken here (H1).
    Subprotocol,
}

type Checked = (Response<Body>, Codec, Sent);

/// The answer that makes the connection a WebSocket, the codec, and what the headers say of who asks.
fn check(shared: &Shared, request: &Request<Body>) -> Result<Checked, Refusal> {
    let headers = request.headers();
    if shared.closing.is_cancelled() {
        return Err(Refusal::Closing);
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let may = |origin| origin::may_connect(origin, host, &shared.settings.allow_origin);
    let mut origins = headers.get_all(ORIGIN).iter();
    if !origins.all(|origin| origin.to_str().is_ok_and(may)) {
        return Err(Refusal::Origin);
    }
    let (codec, named) = subprotocol(headers)?;
    let mut response = create_response_with_body(request, Body::empty)
        .map_err(|error| Refusal::NoWebSocket(error.to_string()))?;
    if let Some(name) = named {
        let name = HeaderValue::from_static(name);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    let sent = Sent {
        bearer: bearer(headers),
        local: is_local(headers),
    };
    Ok((response, codec, sent))
}

/// The codec, and its name where the client wants to hear one (H1). The client's order is its preference.
fn subprotocol(headers: &HeaderMap) -> Result<(Codec, Option<&'static str>), Refusal> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .peekable();
    if offers.peek().is_none() {
        return Ok((Codec::Json, None));
    }
    let known = |offer: &str| {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.subprotocol() == offer)
    };
    let codec = offers.find_map(known).ok_or(Refusal::Subprotocol)?;
    Ok((codec, Some(codec.subprotocol())))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let (status, why) = match self {
            Refusal::Closing => {
                let retry = [(RETRY_AFTER, HeaderValue::from_static("1"))];
                let why = "this gateway goes away\n";
                return (StatusCode::SERVICE_UNAVAILABLE, retry, why).into_response();
            }
            Refusal::NoWebSocket(why) => (StatusCode::BAD_REQUEST, why),
            Refusal::Origin => (
                StatusCode::FORBIDDEN,
                "this origin may not connect".to_owned(),
            ),
            Refusal::Subprotocol => {
                let [json, msgpack] = Codec::ALL.map(Codec::subprotocol);
                (
                    StatusCode::BAD_REQUEST,
                    format!("this server speaks {json} and {msgpack}"),
                )
            }
        };
        (status, format!("{why}\n")).into_response()
    }
}
