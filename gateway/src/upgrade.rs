//! `GET /v1/connect`: from HTTP to a WebSocket (H1, H4).

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderValue, Request, Response, StatusCode,
        header::{AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL},
    },
};
use outlast_protocol::Codec;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::{
    gateway::Shared,
    origin,
    serve::{Upgrade, serve},
};

/// Where and when a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) peer: SocketAddr,
    /// When its connection was made, or had answered the request before.
    pub(crate) at: Instant,
}

/// Answers a request to connect.
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    Extension(arrival): Extension<Arrival>,
    mut request: Request<Body>,
) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (response, codec, bearer) = match check(&shared, &request) {
        Ok(checked) => checked,
        Err(refusal) => return refusal,
    };
    let upgrade = Box::new(Upgrade {
        upgrade,
        codec,
        arrival,
        bearer,
    });
    shared.sockets.spawn(serve(shared.clone(), upgrade));
    response
}

type Checked = (Response<Body>, Codec, Option<String>);

/// The answer that makes the connection a WebSocket, the codec, and the token that came in a header.
fn check(shared: &Shared, request: &Request<Body>) -> Result<Checked, Response<Body>> {
    let headers = request.headers();
    if shared.closing.is_cancelled() {
        let mut refusal = refuse(StatusCode::SERVICE_UNAVAILABLE, "this gateway goes away");
        refusal
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return Err(refusal);
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let may = |origin| origin::may_connect(origin, host, &shared.settings.allow_origin);
        if !origin.to_str().is_ok_and(may) {
            return Err(refuse(StatusCode::FORBIDDEN, "this origin may not connect"));
        }
    }
    let (codec, named) = subprotocol(headers)?;
    let mut response = create_response_with_body(request, Body::empty)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &error.to_string()))?;
    if let Some(name) = named {
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok((
        response,
        codec,
        bearer.map(|(_, token)| token.trim().to_owned()),
    ))
}

/// The codec, and its name where the client wants to hear one (H1).
fn subprotocol(headers: &HeaderMap) -> Result<(Codec, Option<&'static str>), Response<Body>> {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offers: Vec<_> = offers
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if offers.is_empty() {
        return Ok((Codec::Json, None));
    }
    // The client's order is its preference.
    let known = |offer: &&str| {
        Codec::ALL
            .into_iter()
            .find(|codec| codec.subprotocol() == *offer)
    };
    match offers.iter().find_map(known) {
        Some(codec) => Ok((codec, Some(codec.subprotocol()))),
        None => Err(refuse(
            StatusCode::BAD_REQUEST,
            "this server speaks outlast.v1.json and outlast.v1.msgpack",
        )),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{why}\n")));
    *response.status_mut() = status;
    response
}
