use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    http,
    judge::{Census, Fault, Guest, Present, Seat, Verdict, ghosts},
    world::World,
};

/// Asks until nobody is a ghost, for so long at most; what is wrong then is found.
pub(crate) async fn take(
    world: &World,
    rooms: &[String],
    sids: &[String],
    patience: Duration,
    present: impl Fn() -> Vec<Present>,
    verdict: &mut Verdict,
) {
    let until = Instant::now() + patience;
    loop {
        let late = Instant::now() > until;
        let faults = match ask(world, rooms, sids, present()).await {
            Ok(census) => ghosts(&census),
            Err(why) => {
                let wrong = super::judge::Wrong::Stuck;
                let who = "the API".to_owned();
                vec![Fault {
                    wrong,
                    who,
                    what: why,
                }]
            }
        };
        if faults.is_empty() {
            return;
        }
        if late {
            return verdict.faults.extend(faults);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn ask(
    world: &World,
    rooms: &[String],
    sids: &[String],
    present: Vec<Present>,
) -> Result<Census, String> {
    let mut census = Census {
        present,
        ..Census::default()
    };
    for room in rooms {
        let (status, body) = look(world, &format!("/v1/rooms/{room}")).await?;
        let state = &body["state"];
        let members = state["members"].as_array().or(state["players"].as_array());
        let guests = members.into_iter().flatten().map(|member| Guest {
            member: member["member"].as_u64().unwrap_or(0),
            name: member["name"].as_str().unwrap_or_default().to_owned(),
            online: member["online"] == true,
        });
        if status == 200 {
            census.rooms.insert(room.clone(), guests.collect());
        }
    }
    for sid in sids {
        let (status, body) = look(world, &format!("/v1/sessions/{sid}")).await?;
        let seat = (status == 200).then(|| seat(&body, rooms));
        census.sessions.insert(sid.clone(), seat);
    }
    if census.present.is_empty() {
        census.strays = world.strays();
    }
    Ok(census)
}

fn seat(body: &Value, rooms: &[String]) -> Seat {
    let places = body["rooms"].as_array().into_iter().flatten();
    let member = |place: &Value| {
        let room = place["room"].as_str()?.to_owned();
        Some((room, place["member"].as_u64()?))
    };
    let rooms: BTreeMap<_, _> = places
        .filter_map(member)
        .filter(|(room, _)| rooms.contains(room))
        .collect();
    Seat {
        attached: body["attached"] == true,
        rooms,
    }
}

/// Asks whoever answers.
async fn look(world: &World, path: &str) -> Result<(u16, Value), String> {
    let mut told = String::new();
    for address in world.admins() {
        match http::look(&address, path).await {
            Some((status @ (200 | 404), body)) => return Ok((status, body)),
            other => told = format!("{path}: {other:?}"),
        }
    }
    Err(told)
}
