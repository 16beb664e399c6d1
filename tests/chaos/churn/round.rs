//! One round: churn, calm, the census, the parting, and the verdict.

mod crowd;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use outlast_protocol::RoomName;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reconnect_storm::{Case, Record, RoomLog, Seen, check};

use self::crowd::Crowd;
use super::{
    census,
    judge::{Verdict, Wrong, app_order, claims, unsettled, wire},
    walker::Phase,
    world::{Mix, Store, TTL, World},
};

/// The settings of a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) store: Store,
    pub(crate) seed: u64,
    pub(crate) churn: Duration,
    pub(crate) mix: Mix,
}

/// The longest time that an action may be without a word, whatever happens.
const WORD: Duration = Duration::from_secs(45);
/// The longest time that everything may take to settle when nothing happens any more.
const SETTLE: Duration = Duration::from_secs(75);
/// A session is away after the grace and 2 s (S7), and members follow.
const CENSUS: Duration = Duration::from_secs(25);

/// Plays a round; what was wrong, and where to read about it.
pub(crate) async fn play(round: Round) -> Result<(), String> {
    let Round { store, seed, .. } = round;
    println!("{store:?}: OUTLAST_SEED={seed} {:?}", round.mix);
    let name = format!("churn-{store:?}-{seed}").to_lowercase();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).unwrap();
    let begun = Instant::now();
    let wall = SystemTime::now();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::start(store, &folder, begun).await;
    let mut crowd = Crowd::arrive(&world, round.mix.hasty, begun, &mut rng);
    let mut verdict = Verdict::default();

    let (start, mut told) = (Instant::now(), 0);
    while start.elapsed() < round.churn {
        world.trouble(round.mix, &mut rng).await;
        let pause = Duration::from_millis(rng.random_range(100..700));
        tokio::time::sleep(pause).await;
        world.revive(false);
        if start.elapsed().as_secs() / 10 > told {
            told = start.elapsed().as_secs() / 10;
            world.look_for_stopped_rooms().await;
            println!("{store:?} {seed}: {} {}", crowd.progress(), world.counts());
        }
    }
    world.calm();
    crowd.say(Phase::Calm);
    let calm = Instant::now();
    while !crowd.is_calm() && calm.elapsed() < SETTLE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.revive(false);
    }
    let settled = calm.elapsed();
    crowd.find_unsettled(&mut verdict);
    println!(
        "{store:?} {seed}: settled in {settled:.1?}; {} {}",
        crowd.progress(),
        world.counts()
    );

    let (seen, logs) = match crowd.is_calm() {
        true => quiet(round, &mut world, &mut crowd, begun, &mut verdict).await,
        // Nothing can be compared that is still under way: what waits is the finding.
        false => (Sightings::default(), BTreeMap::new()),
    };
    for what in world.stopped() {
        verdict.find(Wrong::Stopped, "", what.clone());
    }
    let end = begun.elapsed();
    let histories = crowd.leave(&mut verdict);
    for history in &histories {
        verdict.faults.extend(wire(history, WORD, end));
    }
    if !logs.is_empty() {
        judge(&seen, &logs, &mut verdict);
    }
    println!("{store:?} {seed}: {verdict}");
    let clean = verdict.faults.is_empty();
    if clean && std::env::var_os("OUTLAST_CHAOS_KEEP").is_none() {
        std::fs::remove_dir_all(&folder).ok();
        return Ok(());
    }
    save(
        &folder,
        &format!("{wall:?}\n{}", world.diary()),
        &verdict,
        histories
            .iter()
            .map(|history| (&history.who, history.text())),
    );
    if clean {
        return Ok(());
    }
    Err(format!(
        "OUTLAST_SEED={seed}: what happened is in {}",
        folder.display()
    ))
}

/// Everything has settled: the last words, the logs, who is there, and whether nobody stays behind.
async fn quiet(
    Round { store, seed, .. }: Round,
    world: &mut World,
    crowd: &mut Crowd,
    begun: Instant,
    verdict: &mut Verdict,
) -> (Sightings, BTreeMap<RoomName, RoomLog>) {
    let ends = crowd.last_words(world, verdict).await;
    println!(
        "{store:?} {seed}: the last words are heard at {:.1?}",
        begun.elapsed()
    );
    let seen = crowd.seen();
    let rooms: Vec<RoomName> = crowd
        .rooms
        .iter()
        .map(|room| room.parse().unwrap())
        .collect();
    let mut logs = world.logs(&rooms).await;
    cut(&mut logs, &ends);
    let again = Instant::now();
    while !crowd.is_calm() && again.elapsed() < SETTLE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let present = || crowd.present();
    census::take(world, &crowd.rooms, &crowd.sids(), CENSUS, present, verdict).await;
    world.look_for_stopped_rooms().await;

    println!(
        "{store:?} {seed}: the census is taken at {:.1?}",
        begun.elapsed()
    );
    crowd.part();
    let patience = TTL + CENSUS;
    census::take(
        world,
        &crowd.rooms,
        &crowd.sids(),
        patience,
        Vec::new,
        verdict,
    )
    .await;
    (seen, logs)
}

/// The observations of all clients until the last words.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    /// Of each session: whose, and what.
    pub(crate) records: Vec<(String, Record)>,
    pub(crate) claims: Vec<super::judge::Claim>,
    pub(crate) told: Vec<(String, Told)>,
    pub(crate) actions: usize,
}

/// Rooms, positions, and whether the state diverged there.
type Told = Vec<(String, u64, bool)>;

/// The same end for everybody.
fn cut(logs: &mut BTreeMap<RoomName, RoomLog>, ends: &BTreeMap<String, u64>) {
    for (room, log) in logs {
        let end = ends.get(room.as_str()).copied().unwrap_or(u64::MAX);
        log.entries.retain(|entry| entry.pos.off <= end);
    }
}

fn judge(seen: &Sightings, logs: &BTreeMap<RoomName, RoomLog>, verdict: &mut Verdict) {
    let within = |what: &Seen| {
        let Seen::Heard(frame) = what else {
            return true;
        };
        let frame = serde_json::to_value(frame).unwrap_or_default();
        let (room, pos) = (frame["room"].as_str(), frame["pos"].as_str());
        let Some((room, pos)) = room.zip(pos) else {
            return true;
        };
        let off = pos
            .split('-')
            .next()
            .and_then(|off| off.parse::<u64>().ok());
        let room: Option<RoomName> = room.parse().ok();
        let log = room.and_then(|room| logs.get(&room));
        let end = log
            .and_then(|log| log.entries.last())
            .map(|entry| entry.pos.off);
        off <= end
    };
    let records: Vec<Record> = seen
        .records
        .iter()
        .map(|(_, record)| {
            let mut record = record.clone();
            record.observations.retain(|seen| within(&seen.what));
            record
        })
        .collect();
    let told = check(&Case::new(&records, logs).with_slow_rooms());
    (verdict.actions, verdict.events) = (seen.actions, told.entries_seen);
    for finding in &told.findings {
        let who = finding
            .client
            .map_or("the log", |client| &seen.records[client].0);
        let room = finding
            .room
            .as_ref()
            .map_or(String::new(), RoomName::to_string);
        verdict.find(
            Wrong::Log,
            who,
            format!("{:?} {room}: {}", finding.violation, finding.what),
        );
    }
    verdict.faults.extend(claims(logs, &seen.claims));
    for (who, told) in &seen.told {
        verdict.faults.extend(app_order(who, told));
    }
    if seen.actions < 200 {
        verdict.find(
            Wrong::Stuck,
            "everybody",
            format!("too little happened: {} actions", seen.actions),
        );
    }
}

/// Everything that helps to find the cause.
fn save<'a>(
    folder: &Path,
    diary: &str,
    verdict: &Verdict,
    histories: impl Iterator<Item = (&'a String, String)>,
) {
    std::fs::write(folder.join("diary.txt"), diary).unwrap();
    let faults: Vec<_> = verdict
        .faults
        .iter()
        .map(|fault| format!("{fault:?}"))
        .collect();
    std::fs::write(folder.join("faults.txt"), faults.join("\n")).unwrap();
    for (who, text) in histories {
        let file = format!("{}.txt", who.replace(' ', "-"));
        std::fs::write(folder.join(file), text).unwrap();
    }
}

/// Notes the actions that have no outcome in the end, and whose they are.
fn without_outcome(verdict: &mut Verdict, who: &str, waiting: &[String]) {
    verdict.faults.extend(unsettled(who, waiting));
}
