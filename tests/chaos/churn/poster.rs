//! Backends that post with idempotency keys, and repeat what had no answer (P1, A6).

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    http::request,
    judge::{Fault, Wrong},
    walker::Phase,
};

/// An action that was posted, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) room: String,
    pub(crate) text: String,
    /// The position, once it is known.
    pub(crate) pos: Option<String>,
    pub(crate) asked: usize,
}

pub(crate) struct Poster {
    pub(crate) posted: Arc<Mutex<Vec<Posted>>>,
    pub(crate) faults: Arc<Mutex<Vec<Fault>>>,
    task: JoinHandle<()>,
}

/// A post that has no answer for this long, when nothing disturbs it any more, is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

impl Poster {
    pub(crate) fn start(
        number: usize,
        rooms: Vec<String>,
        addresses: Vec<String>,
        seed: u64,
        phase: watch::Receiver<Phase>,
    ) -> Poster {
        let poster = Poster {
            posted: Arc::default(),
            faults: Arc::default(),
            task: tokio::spawn(async {}),
        };
        let run = Run {
            number,
            rooms,
            addresses,
            rng: StdRng::seed_from_u64(seed),
            posted: poster.posted.clone(),
            faults: poster.faults.clone(),
        };
        Poster {
            task: tokio::spawn(run.run(phase)),
            ..poster
        }
    }

    /// True if everything has been answered, and nothing more will be posted.
    pub(crate) fn is_done(&self) -> bool {
        self.task.is_finished()
    }
}

struct Run {
    number: usize,
    rooms: Vec<String>,
    addresses: Vec<String>,
    rng: StdRng,
    posted: Arc<Mutex<Vec<Posted>>>,
    faults: Arc<Mutex<Vec<Fault>>>,
}

impl Run {
    async fn run(mut self, phase: watch::Receiver<Phase>) {
        let run: u32 = self.rng.random();
        for count in 0.. {
            if *phase.borrow() != Phase::Churn {
                return;
            }
            let room = self.rooms[self.rng.random_range(0..self.rooms.len())].clone();
            let text = format!("poster {} posts {count}-{run:x}", self.number);
            self.post(&room, &text, &phase).await;
            sleep(Duration::from_millis(self.rng.random_range(50..400))).await;
        }
    }

    /// Posts until there is an answer, and now and then once more.
    async fn post(&mut self, room: &str, text: &str, phase: &watch::Receiver<Phase>) {
        let index = {
            let mut posted = self.posted.lock().unwrap();
            posted.push(Posted {
                room: room.to_owned(),
                text: text.to_owned(),
                pos: None,
                asked: 0,
            });
            posted.len() - 1
        };
        let again = usize::from(self.rng.random_range(0..4) == 0);
        let mut answers = 0;
        let mut calm_since: Option<Instant> = None;
        while answers < 1 + again {
            match self.ask(room, text, index).await {
                Ok(pos) => {
                    answers += 1;
                    let before = self.posted.lock().unwrap()[index].pos.replace(pos.clone());
                    if before.as_ref().is_some_and(|before| *before != pos) {
                        let what =
                            format!("{text:?} in {room} has the outcomes {before:?} and {pos}");
                        self.find(Wrong::Outcomes, what);
                    }
                }
                Err(Some(refused)) => {
                    self.find(
                        Wrong::Outcomes,
                        format!("{text:?} in {room} was refused: {refused}"),
                    );
                    return;
                }
                Err(None) => {
                    if *phase.borrow() != Phase::Churn {
                        let since = *calm_since.get_or_insert_with(Instant::now);
                        if since.elapsed() > PATIENCE {
                            return self
                                .find(Wrong::Stuck, format!("{text:?} in {room} has no answer"));
                        }
                    }
                    sleep(Duration::from_millis(self.rng.random_range(100..500))).await;
                }
            }
        }
    }

    /// The position; an error that says that it was refused, or nothing.
    async fn ask(
        &mut self,
        room: &str,
        text: &str,
        index: usize,
    ) -> Result<String, Option<String>> {
        let address = self.addresses[self.rng.random_range(0..self.addresses.len())].clone();
        let body = json!({"say": text}).to_string();
        let path = format!("/v1/rooms/{room}/actions");
        self.posted.lock().unwrap()[index].asked += 1;
        let answer = request(
            "POST",
            &address,
            &path,
            Some(&text.replace(' ', "-")),
            &body,
        )
        .await;
        match answer {
            Some((200, body)) => {
                let body: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
                body["pos"].as_str().map(str::to_owned).ok_or(None)
            }
            Some((503 | 429 | 500 | 502 | 504, _)) | None => Err(None),
            Some((status, body)) => Err(Some(format!("{status} {body}"))),
        }
    }

    fn find(&self, wrong: Wrong, what: String) {
        let who = format!("poster {}", self.number);
        self.faults.lock().unwrap().push(Fault { wrong, who, what });
    }
}
