//! SPEC section 4.

use serde_json::json;

use crate::support::World;

#[tokio::test]
async fn s1_open_makes_a_session_and_a_room_can_be_joined() {
    let world = World::start().await;
    let (mut client, welcome) = world.open().await;
    assert_eq!(welcome["gen"], 1);
    let joined = client.join("chat/lobby", 1, "Ada").await;
    assert_eq!((&joined["n"], &joined["member"]), (&json!(1), &json!(1)));
    client.say("chat/lobby", 2, "hi").await;
    let event = client.expect("event").await;
    assert_eq!(
        (&event["by"], &event["n"], &event["data"]["said"]),
        (&json!(1), &json!(2), &json!("hi"))
    );
}
