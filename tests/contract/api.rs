//! Section 13 and A6: the way in for backends and operators.

use outlast_testkit::{Client, Server, http};
use serde_json::{Value, json};

use crate::tokens::{claims, hs256, with_secret};

/// A server that knows tokens, and a backend that talks to it.
struct Scene {
    server: Server,
    token: String,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let server = with_secret(folder.path(), &[]);
        let mut claims = claims("billing", 3_600);
        claims["admin"] = json!(true);
        Scene {
            server,
            token: hs256(&claims),
            _folder: folder,
        }
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        headers.extend(more);
        let address = self.server.address().to_owned();
        let (method, path, body) = (method.to_owned(), path.to_owned(), body.to_owned());
        let headers: Vec<(String, String)> = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let asked = tokio::task::spawn_blocking(move || {
            let headers = headers.iter().map(|(name, value)| (&**name, &**value));
            http::request(
                &method,
                &address,
                &path,
                &headers.collect::<Vec<_>>(),
                &body,
            )
        });
        let answer = asked.await.unwrap().expect("an answer");
        let text = answer.body().to_owned();
        (
            answer.status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    async fn post(&self, room: &str, key: &str, action: Value) -> (u16, Value) {
        let path = format!("/v1/rooms/{room}/actions");
        self.call(
            "POST",
            &path,
            &[("Idempotency-Key", key)],
            &action.to_string(),
        )
        .await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, &[], "").await
    }

    async fn client(&self, user: &str) -> (Client, Value) {
        let mut client = self.server.connect().await;
        let token = hs256(&claims(user, 3_600));
        client.send(json!({"t": "open", "token": token})).await;
        let welcome = client.expect("welcome").await;
        (client, welcome)
    }
}

#[tokio::test]
async fn p1_a6_a_post_counts_once_however_often_it_is_sent() {
    let scene = Scene::new();
    let (mut client, _) = scene.client("ada").await;
    client.join("chat/lobby", 1, "Ada").await;
    let (status, posted) = scene
        .post("chat/lobby", "invoice-7", json!({"say": "paid"}))
        .await;
    assert_eq!(status, 200, "{posted}");
    let event = client.expect("event").await;
    assert_eq!(
        event["data"],
        json!({"posted": {"name": "billing", "text": "paid"}})
    );
    assert_eq!((event.get("by"), &event["pos"]), (None, &posted["pos"]));
    for _ in 0..3 {
        assert_eq!(
            scene
                .post("chat/lobby", "invoice-7", json!({"say": "paid"}))
                .await,
            (200, posted.clone())
        );
    }
    let (_, next) = scene
        .post("chat/lobby", "invoice-8", json!({"say": "and again"}))
        .await;
    assert_eq!(
        client.expect("event").await["pos"],
        next["pos"],
        "nothing came in between"
    );
}

#[tokio::test]
async fn p1_what_a_room_refuses_is_told_with_its_code() {
    let scene = Scene::new();
    let code =
        |(status, problem): (u16, Value)| (status, problem["code"].as_str().unwrap().to_owned());
    let refused = scene.post("chat/lobby", "1", json!({"say": ""})).await;
    assert_eq!(code(refused), (422, "bad_text".into()));
    let refused = scene.post("exchange/gold", "1", json!({"cancel": 1})).await;
    assert_eq!(code(refused), (422, "no_posts".into()));
    let refused = scene.post("nothing/here", "1", json!({})).await;
    assert_eq!(code(refused), (404, "unknown_room_kind".into()));
    let refused = scene.post("CHAT/lobby", "1", json!({})).await;
    assert_eq!(code(refused), (400, "bad_room".into()));
    let refused = scene
        .call("POST", "/v1/rooms/chat/lobby/actions", &[], "{}")
        .await;
    assert_eq!(code(refused), (400, "no_key".into()));
    let key = [("Idempotency-Key", "2")];
    let refused = scene
        .call("POST", "/v1/rooms/chat/lobby/actions", &key, "{")
        .await;
    assert_eq!(code(refused), (400, "bad_body".into()));
}

#[tokio::test]
async fn p2_a_room_is_shown_as_it_stands() {
    let scene = Scene::new();
    assert_eq!(scene.get("/v1/rooms/chat/lobby").await.0, 404);
    let (_, posted) = scene.post("chat/lobby", "1", json!({"say": "paid"})).await;
    let (status, shown) = scene.get("/v1/rooms/chat/lobby").await;
    assert_eq!((status, &shown["pos"]), (200, &posted["pos"]));
    assert_eq!(shown["state"]["messages"][0]["text"], "paid");
}

#[tokio::test]
async fn p3_s6_an_operator_finds_a_session_and_ends_it() {
    let scene = Scene::new();
    let (mut client, welcome) = scene.client("ada").await;
    client.join("chat/lobby", 1, "Ada").await;
    let sid = welcome["sid"].as_str().unwrap();
    assert_eq!(
        scene.get("/v1/sessions?user=ada").await,
        (200, json!([sid]))
    );
    assert_eq!(scene.get("/v1/sessions?user=bob").await, (200, json!([])));

    let path = format!("/v1/sessions/{sid}");
    let (status, found) = scene.get(&path).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(
        (&found["user"], &found["gen"], &found["attached"]),
        (&json!("ada"), &json!(1), &json!(true))
    );
    assert_eq!(found["rooms"][0]["room"], "chat/lobby");
    assert_eq!(
        (&found["rooms"][0]["member"], &found["rooms"][0]["n"]),
        (&json!(1), &json!(1))
    );
    assert!(
        !found.to_string().contains(welcome["key"].as_str().unwrap()),
        "H3"
    );

    assert_eq!(scene.call("DELETE", &path, &[], "").await.0, 204);
    assert_eq!(client.expect("bye").await["code"], 4010);
    for method in ["GET", "DELETE"] {
        assert_eq!(scene.call(method, &path, &[], "").await.0, 404);
    }
    let (_, shown) = scene.get("/v1/rooms/chat/lobby").await;
    assert_eq!(shown["state"]["members"], json!([]));
}

#[tokio::test]
async fn h5_the_api_is_for_tokens_with_the_claim_admin() {
    let mut scene = Scene::new();
    assert_eq!(scene.get("/v1/openapi.json").await.0, 200);
    for (claims, status) in [
        (claims("ada", 3_600), 403),
        (json!({"sub": "ada", "admin": true, "exp": 1}), 401),
        (
            json!({"sub": "ada", "admin": true, "rooms": ["game/*"]}),
            403,
        ),
        (
            json!({"sub": "ada", "admin": true, "rooms": ["chat/*"]}),
            404,
        ),
    ] {
        scene.token = hs256(&claims);
        assert_eq!(
            scene.get("/v1/rooms/chat/lobby").await.0,
            status,
            "{claims}"
        );
    }
    scene.token = "none".into();
    assert_eq!(scene.get("/v1/sessions?user=ada").await.0, 401);
}
