use serde_json::{Value, json};

use super::Game;
use crate::testing::{Outcome, Stage};

/// An arena at rest, with Ada and Bob in it.
fn stage() -> Stage<Game> {
    let mut stage = Stage::new();
    stage.at_ms(1_000_050);
    for (member, name) in [(1, "Ada"), (2, "Bob")] {
        let entered = stage.join(member, json!({"name": name}));
        assert_eq!(entered.events[0]["entered"]["name"], name);
    }
    stage
}

/// The same, with these two in these places, and one coin.
fn placed(ada: (u16, u16), bob: (u16, u16), coin: (u16, u16)) -> Stage<Game> {
    let mut stage = stage();
    stage.given(
        None,
        &super::Event::Tick {
            players: vec![(1, ada.0, ada.1, 0), (2, bob.0, bob.1, 0)],
            coins: vec![(0, coin.0, coin.1)],
        },
    );
    stage
}

fn steer(stage: &mut Stage<Game>, member: u32, x: f64, y: f64) -> Outcome {
    stage.act(member, json!({"steer": {"x": x, "y": y}}))
}

fn tick(stage: &mut Stage<Game>) -> Value {
    let woken = stage.wake();
    assert_eq!(woken.events.len(), 1, "{woken:?}");
    woken.events[0]["tick"].clone()
}

fn player(stage: &Stage<Game>, member: u32) -> Value {
    let view = stage.view(1);
    let players = view["players"].as_array().unwrap().iter();
    let mut found = players.filter(|player| player["member"] == member);
    found.next().unwrap().clone()
}

const FAR: (u16, u16) = (900, 900);

#[test]
fn b2_who_joins_enters_inside_the_arena() {
    let stage = stage();
    for member in [1, 2] {
        let player = player(&stage, member);
        assert_eq!(player["score"], 0);
        assert_eq!(player["online"], true);
        for axis in ["x", "y"] {
            assert!(
                (20..=980).contains(&player[axis].as_u64().unwrap()),
                "{player}"
            );
        }
    }
}

#[test]
fn b2_a_name_has_1_to_40_characters() {
    let mut stage = Stage::<Game>::new();
    for bad in [json!({"name": ""}), json!({"name": "n".repeat(41)})] {
        stage.join(1, bad).is_refused("bad_name");
    }
    stage.join(1, json!({})).is_refused("bad_join");
}

#[test]
fn b2_an_arena_has_room_for_200() {
    let mut stage = Stage::<Game>::new();
    for member in 1..=200 {
        assert_eq!(stage.join(member, json!({"name": "x"})).refusal, None);
    }
    stage.join(201, json!({"name": "x"})).is_refused("full");
    stage
        .leave(7, "left")
        .happens([json!({"left": {"member": 7, "reason": "left"}})]);
    assert_eq!(stage.join(201, json!({"name": "x"})).refusal, None);
}

#[test]
fn b2_steering_is_no_event_and_counts_across_a_restart() {
    let mut stage = placed((500, 500), FAR, (100, 100));
    steer(&mut stage, 1, 1.0, 0.0).keeps(json!({"steered": {"x": 1000, "y": 0}}));
    let again = steer(&mut stage, 1, 1.0, 0.0);
    assert_eq!(again.kept, None, "what changes nothing is not kept");
    again.is_taken();
    stage.restart();
    let tick = tick(&mut stage);
    assert_eq!(
        tick["players"][0],
        json!([1, 513, 500, 0]),
        "50 ms at 260 a second"
    );
}

#[test]
fn b2_steering_goes_from_minus_1_to_1() {
    let mut stage = stage();
    for (x, y) in [(1.1, 0.0), (0.0, -1.01), (1e300, 0.0)] {
        steer(&mut stage, 1, x, y).is_refused("bad_steer");
    }
    for bad in [
        json!({"steer": {"x": 1}}),
        json!({"steer": 1}),
        json!({"jump": 1}),
    ] {
        stage.act(1, bad).is_refused("bad_action");
    }
}

#[test]
fn b2_a_diagonal_is_no_faster_and_the_wall_holds() {
    let mut stage = placed((500, 500), (975, 25), (100, 100));
    steer(&mut stage, 1, 1.0, 1.0).keeps(json!({"steered": {"x": 1000, "y": 1000}}));
    steer(&mut stage, 2, 1.0, -1.0).keeps(json!({"steered": {"x": 1000, "y": -1000}}));
    let tick = tick(&mut stage);
    assert_eq!(tick["players"], json!([[1, 509, 509, 0], [2, 980, 20, 0]]));
}

#[test]
fn b2_ten_ticks_a_second_while_anybody_is_online_and_none_while_nobody_is() {
    assert_eq!(Stage::<Game>::new().wake_at_ms(), None);
    let mut stage = placed((500, 500), FAR, (100, 100));
    let mut times = Vec::new();
    for _ in 0..3 {
        times.extend(stage.wake_at_ms());
        tick(&mut stage);
    }
    assert_eq!(times, [1_000_100, 1_000_200, 1_000_300]);
    stage.at_ms(1_000_999);
    tick(&mut stage);
    assert_eq!(
        stage.wake_at_ms(),
        Some(1_001_000),
        "late ticks are not made up for"
    );
    stage.detach(1).happens([json!({"away": 1})]);
    assert_eq!(stage.wake_at_ms(), Some(1_001_000));
    stage
        .leave(2, "ended")
        .happens([json!({"left": {"member": 2, "reason": "ended"}})]);
    assert_eq!(stage.wake_at_ms(), None);
    stage.attach(1).happens([json!({"back": 1})]);
    assert_eq!(stage.wake_at_ms(), Some(1_001_000));
}

#[test]
fn b2_who_touches_a_coin_scores_and_the_closest_gets_it() {
    let mut stage = placed((500, 500), (530, 500), (510, 500));
    let after = tick(&mut stage);
    assert_eq!(
        after["players"],
        json!([[1, 500, 500, 1], [2, 530, 500, 0]])
    );
    let left = after["coins"].as_array().unwrap().iter();
    assert!(left.clone().all(|coin| coin[0] != 0), "it is gone");
    assert_eq!(player(&stage, 1)["score"], 1);
    let mut stage = placed((500, 500), FAR, (533, 500));
    assert_eq!(
        tick(&mut stage)["players"][0],
        json!([1, 500, 500, 0]),
        "33 is too far"
    );
}

#[test]
fn b2_coins_appear_in_the_arena_and_none_is_called_like_another() {
    let mut stage = stage();
    let mut ids = std::collections::BTreeMap::new();
    for _ in 0..2_000 {
        let tick = tick(&mut stage);
        let coins = tick["coins"].as_array().unwrap();
        assert!(coins.len() <= 5);
        for coin in coins {
            let place = (coin[1].as_u64().unwrap(), coin[2].as_u64().unwrap());
            let before = ids.insert(coin[0].as_u64().unwrap(), place);
            assert!(before.is_none_or(|before| before == place), "{coin}");
        }
        // Ada runs to the oldest coin.
        if let Some(coin) = coins.first() {
            let go = |axis: usize| {
                let [coin, ada] =
                    [&coin[axis], &tick["players"][0][axis]].map(|at| at.as_f64().unwrap());
                ((coin - ada) / 30.0).clamp(-1.0, 1.0)
            };
            assert_eq!(steer(&mut stage, 1, go(1), go(2)).refusal, None);
        }
    }
    assert!(ids.len() > 50, "{ids:?}");
    let score = |member| player(&stage, member)["score"].as_u64().unwrap() as usize;
    let lying = stage.view(1)["coins"].as_array().unwrap().len();
    assert_eq!(score(1) + score(2), ids.len() - lying, "each counts once");
}

#[test]
fn b2_a_dropped_player_stands_still_and_returns_with_the_score() {
    let mut stage = placed((500, 500), FAR, (510, 500));
    steer(&mut stage, 1, 0.0, 1.0).keeps(json!({"steered": {"x": 0, "y": 1000}}));
    tick(&mut stage);
    stage.detach(1).happens([json!({"away": 1})]);
    stage.restart();
    let before = player(&stage, 1);
    assert_eq!(
        (&before["score"], &before["online"]),
        (&json!(1), &json!(false))
    );
    for _ in 0..50 {
        tick(&mut stage);
    }
    assert_eq!(player(&stage, 1), before);
    stage.attach(1).happens([json!({"back": 1})]);
    tick(&mut stage);
    let back = player(&stage, 1);
    assert_eq!((&back["score"], &back["online"]), (&json!(1), &json!(true)));
    assert_eq!(
        (&back["x"], &back["y"]),
        (&before["x"], &before["y"]),
        "until it steers again"
    );
}

#[test]
fn b2_an_offline_player_finds_nothing() {
    let mut stage = placed((500, 500), FAR, (510, 500));
    stage.detach(1).happens([json!({"away": 1})]);
    assert_eq!(tick(&mut stage)["players"][0], json!([1, 500, 500, 0]));
}

#[test]
fn b2_after_a_pause_nobody_has_jumped() {
    let mut stage = placed((500, 500), FAR, (100, 100));
    steer(&mut stage, 1, 1.0, 0.0).keeps(json!({"steered": {"x": 1000, "y": 0}}));
    stage.at_ms(1_060_000);
    assert_eq!(
        tick(&mut stage)["players"][0],
        json!([1, 552, 500, 0]),
        "200 ms, not a minute"
    );
}

#[test]
fn w3_a_game_is_the_same_after_a_restart() {
    let mut stage = stage();
    for round in 0..50 {
        let go = f64::from(round % 7 - 3) / 3.0;
        assert_eq!(steer(&mut stage, 1, go, 0.1).refusal, None);
        tick(&mut stage);
    }
    let before = serde_json::to_value(stage.state()).unwrap();
    stage.restart();
    assert_eq!(serde_json::to_value(stage.state()).unwrap(), before);
}
