//! The clients of one process, and what they are told to do.

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use outlast_protocol::{RoomName, SnapshotReason};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use reconnect_storm::{Backoff, Driver, Excuses, Judge, Ledger, Settings, Trust, Verdict};
use serde_json::json;
use tokio::{
    runtime::Runtime,
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
    time::{interval, sleep},
};

use super::{
    bare,
    board::{Board, Stand, add},
    mark::{mark, mark_of, say},
    member::Member,
    order::{Crowd, Done, Kind, Order, Report},
};
use crate::options::trust;

/// How often the swarm says how it stands.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// How often it looks whether what it waits for has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a client may take on its first way in.
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);
/// How many actions a client has under way at most.
const UNDER_WAY_MAX: usize = 20;
/// How many sockets one source address is given: there are 28,000 ports, and a storm leaves some behind.
const SOCKETS_PER_ADDRESS: u32 = 14_000;
/// How many clients one process may have.
pub(crate) const CLIENTS_MAX: u32 = 18_000;
/// D2.
const BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(30);
/// How much the system keeps unread for a slow reader: far less than a minute of a room.
const SLOW_BUFFER_BYTES: u32 = 8_192;
const RUDE: Duration = Duration::from_millis(100);

/// Does what it is told until nobody tells it anything any more.
pub(crate) async fn run(mut orders: mpsc::Receiver<Order>, reports: mpsc::Sender<Report>) {
    let mut swarm: Option<Swarm> = None;
    while let Some(order) = orders.recv().await {
        let report = match obey(&mut swarm, order, &reports).await {
            Ok(done) => Report::Done(Box::new(done)),
            Err(error) => Report::Failed(format!("{error:#}")),
        };
        if reports.send(report).await.is_err() {
            break;
        }
    }
}

async fn obey(
    swarm: &mut Option<Swarm>,
    order: Order,
    reports: &mpsc::Sender<Report>,
) -> anyhow::Result<Done> {
    if let Order::Arrive(crowd) = order {
        let swarm = match swarm {
            Some(swarm) => swarm,
            none => none.insert(Swarm::new(&crowd, reports.clone())?),
        };
        swarm.arrive(crowd).await?;
        return Ok(Done::default());
    }
    let swarm = swarm.as_mut().context("there is nobody")?;
    match order {
        Order::Arrive(_) => {}
        Order::Act { per_s, text_bytes } => drop(swarm.pace.send((per_s, text_bytes))),
        Order::Storm => swarm.board.storm_begins(Instant::now()),
        Order::Cut => swarm.cut(),
        Order::Read { every, bytes_per_s } => {
            let members = swarm.members.lock().clone();
            let slow = |member: &Seated| member.client.is_multiple_of(every);
            for member in members.into_iter().filter(slow) {
                swarm.board.touch(member.client);
                member.driver.read_at_most(bytes_per_s);
            }
        }
        Order::Settle { within_ms } => {
            return Ok(swarm.settle(Duration::from_millis(within_ms)).await);
        }
    }
    Ok(Done::default())
}

/// Everybody in this process.
struct Swarm {
    /// Where clients run: those that are cut, or begin at a gateway that dies, are not to delay, in this very
    /// program, the others, whose latency is measured.
    quarters: [Quarter; QUARTERS],
    /// Those that are cut.
    victims: HashSet<u32>,
    board: Arc<Board>,
    ledger: Arc<Ledger>,
    members: Arc<Mutex<Vec<Seated>>>,
    bare: Vec<Bare>,
    pace: watch::Sender<(f64, usize)>,
    trust: Trust,
    /// What runs beside the clients.
    tasks: Vec<AbortHandle>,
}

/// How many quarters there are, with a thread each.
const QUARTERS: usize = 2;

/// A runtime that can be dropped anywhere.
struct Quarter(Option<Runtime>);

impl Quarter {
    fn new() -> std::io::Result<Quarter> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        Ok(Quarter(Some(
            runtime.worker_threads(1).enable_all().build()?,
        )))
    }

    /// Whatever this spawns runs there.
    fn within<T>(&self, spawn: impl FnOnce() -> T) -> T {
        let _there = self.0.as_ref().map(Runtime::enter);
        spawn()
    }
}

impl Drop for Quarter {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client with its room.
#[derive(Clone)]
struct Seated {
    client: u32,
    driver: Arc<Driver<Member>>,
    room: RoomName,
}

/// A client of the baseline.
struct Bare {
    client: u32,
    stand: Arc<Mutex<Stand>>,
    cut: Arc<Notify>,
    task: AbortHandle,
}

impl Swarm {
    fn new(crowd: &Crowd, reports: mpsc::Sender<Report>) -> anyhow::Result<Self> {
        let board = Arc::new(Board::new(crowd.first, CLIENTS_MAX));
        let members = Arc::new(Mutex::new(Vec::new()));
        let (pace, paced) = watch::channel((0.0, 0));
        let rng = StdRng::seed_from_u64(crowd.seed ^ 0xac7);
        let quarters = [Quarter::new()?, Quarter::new()?];
        let telling = tell(board.clone(), reports);
        // A store that may lose acknowledged writes may lose sessions, too.
        let diverged = crowd.may_diverge.then_some(SnapshotReason::Diverged);
        let excuses = Excuses {
            snapshots: diverged.into_iter().collect(),
            sessions_may_go: crowd.may_diverge,
        };
        let tasks = [
            // Beside those that are not cut when the first gateway dies: what delays it delays them.
            quarters[QUARTERS - 1].within(|| tokio::spawn(telling)),
            tokio::spawn(act(board.clone(), members.clone(), paced, rng)),
        ];
        Ok(Swarm {
            quarters,
            victims: HashSet::new(),
            board,
            ledger: Arc::new(Ledger::new(mark_of, excuses)),
            members,
            bare: Vec::new(),
            pace,
            trust: trust(crowd.ca_file.as_deref())?,
            tasks: tasks.iter().map(|task| task.abort_handle()).collect(),
        })
    }

    async fn arrive(&mut self, crowd: Crowd) -> anyhow::Result<()> {
        let clients = crowd.first..crowd.first + crowd.clients;
        self.victims.extend(victims(&crowd));
        if crowd.kind == Kind::Bare {
            for client in clients {
                let stand = Arc::new(Mutex::new(Stand::new(client, crowd.kind)));
                let (settings, cut) = (self.settings(&crowd, client), Arc::new(Notify::new()));
                let quarter = self.quarter(&crowd, client, &settings);
                let stay = bare::stay(settings, self.board.clone(), stand.clone(), cut.clone());
                let task = quarter.within(|| tokio::spawn(stay).abort_handle());
                self.bare.push(Bare {
                    client,
                    stand,
                    cut,
                    task,
                });
                if self.bare.len().is_multiple_of(crowd.at_once) {
                    self.all_up(crowd.at_once / 2).await?;
                }
            }
            return self.all_up(0).await;
        }
        let rooms: Vec<RoomName> = (crowd.first_room..crowd.first_room + crowd.rooms.max(1))
            .map(|room| format!("chat/storm-{}-{room}", crowd.run).parse())
            .collect::<Result<_, _>>()?;
        let come = clients.map(|client| {
            let turn = (client - crowd.first) as usize / crowd.gateways.len().max(1);
            self.come(&crowd, client, rooms[turn % rooms.len()].clone())
        });
        let coming = stream::iter(come).buffer_unordered(crowd.at_once);
        let seated: Vec<Seated> = coming.try_collect().await?;
        self.members.lock().extend(seated);
        Ok(())
    }

    async fn come(&self, crowd: &Crowd, client: u32, room: RoomName) -> anyhow::Result<Seated> {
        let judge = Judge::new(client as usize, self.ledger.clone());
        let stand = Stand::new(client, crowd.kind);
        let member = Member::new(judge, self.board.clone(), stand);
        let settings = self.settings(crowd, client);
        let quarter = self.quarter(crowd, client, &settings);
        let driver = quarter.within(|| Driver::start_before(settings, member));
        driver.join(&room, &json!({"name": format!("client {client}")}));
        let is_in = |client: &reconnect_storm::Client, _: &Member| {
            (client.is_member(&room) && client.pending() == 0).then_some(())
        };
        let within = driver.wait("its first way in", ARRIVES_WITHIN, is_in).await;
        within.with_context(|| {
            format!(
                "client {client} cannot join {room} at {}",
                crowd.gateways.join(", ")
            )
        })?;
        let driver = Arc::new(driver);
        Ok(Seated {
            client,
            driver,
            room,
        })
    }

    fn quarter(&self, crowd: &Crowd, client: u32, settings: &Settings) -> &Quarter {
        let number = if crowd.cut_share > 0.0 {
            usize::from(!self.victims.contains(&client))
        } else {
            settings.first_gateway % QUARTERS
        };
        &self.quarters[number]
    }

    fn settings(&self, crowd: &Crowd, client: u32) -> Settings {
        let mut settings = Settings::new(crowd.gateways.iter());
        let turn = (client - crowd.first) as usize;
        settings.first_gateway = if crowd.all_at_first { 0 } else { turn };
        settings.trust = self.trust.clone();
        settings.token = crowd.token.clone();
        settings.seed = crowd.seed.wrapping_add(u64::from(client));
        let is_slow = crowd
            .slow_every
            .is_some_and(|every| client.is_multiple_of(every));
        settings.receive_buffer_bytes = is_slow.then_some(SLOW_BUFFER_BYTES);
        settings.backoff = match (crowd.kind, crowd.jitter) {
            (Kind::Rude, _) => Backoff::Fixed(RUDE),
            (Kind::Polite | Kind::Bare, true) => Backoff::default(),
            (Kind::Polite | Kind::Bare, false) => Backoff::Prompt {
                base: BASE,
                cap: CAP,
            },
        };
        settings.is_polite = crowd.kind != Kind::Rude;
        settings.source = source(crowd, client);
        settings
    }

    /// Waits until no more than so many bare clients are on their way.
    async fn all_up(&self, under_way_max: usize) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let away = self
                .bare
                .iter()
                .filter(|bare| !bare.stand.lock().is_whole());
            if away.count() <= under_way_max {
                return Ok(());
            }
            anyhow::ensure!(
                begin.elapsed() < ARRIVES_WITHIN,
                "the bare clients cannot connect"
            );
            sleep(LOOK_EVERY).await;
        }
    }

    fn cut(&self) {
        for member in self.members.lock().iter() {
            if self.victims.contains(&member.client) {
                // Before it knows: what it reads late until then is no delay of those that are not cut.
                self.board.touch(member.client);
                member.driver.cut();
            }
        }
        for bare in &self.bare {
            if self.victims.contains(&bare.client) {
                bare.cut.notify_one();
            }
        }
    }

    /// Lets everybody come to an end, and answers what became of them. Whoever does not come to one
    /// in time is found out by its judge.
    async fn settle(&mut self, within: Duration) -> Done {
        self.pace.send((0.0, 0)).ok();
        let deadline = Instant::now() + within;
        let members = self.members.lock().clone();
        let settled = |member: &Seated| {
            member.driver.client(|client| client.pending()) == 0
                && member.driver.witness(|witness| witness.is_whole())
        };
        until(deadline, || members.iter().all(settled)).await;
        let bare_settled = || self.bare.iter().all(|bare| bare.stand.lock().is_whole());
        until(deadline, bare_settled).await;
        // A last word in each room: everybody there has to hear it.
        let rooms: BTreeMap<&RoomName, &Seated> = members
            .iter()
            .map(|member| (&member.room, member))
            .collect();
        for member in rooms.into_values() {
            member.speak(&self.board, 0);
        }
        let has_heard = |member: &Seated| {
            settled(member)
                && member
                    .driver
                    .witness(|witness| witness.has_read_all(&member.room))
        };
        until(deadline, || members.iter().all(has_heard)).await;
        let mut verdict = Verdict::default();
        let mut journeys: Vec<_> = self
            .bare
            .iter()
            .map(|bare| bare.stand.lock().journey)
            .collect();
        for member in &members {
            let (journey, found) = member.driver.witness(Member::finish);
            journeys.push(journey);
            verdict.add(found);
        }
        Done { journeys, verdict }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let bare = self.bare.iter().map(|bare| &bare.task);
        self.tasks.iter().chain(bare).for_each(AbortHandle::abort);
    }
}

impl Seated {
    fn speak(&self, board: &Board, text_bytes: usize) {
        add(&board.actions);
        let mark = mark(self.client, board.speaks_us(Instant::now()));
        self.driver.act(&self.room, &say(mark, text_bytes));
    }
}

async fn until(deadline: Instant, mut holds: impl FnMut() -> bool) {
    while !holds() && Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
    }
}

/// The share of a crowd that is to be cut: always the same ones.
fn victims(crowd: &Crowd) -> impl Iterator<Item = u32> + use<> {
    let mut clients: Vec<u32> = (crowd.first..crowd.first + crowd.clients).collect();
    clients.shuffle(&mut StdRng::seed_from_u64(crowd.seed));
    let count = (clients.len() as f64 * crowd.cut_share).round() as usize;
    clients.into_iter().take(count)
}

/// Where ports run out: 127.0.0.2 and up, for servers on this machine.
fn source(crowd: &Crowd, client: u32) -> Option<IpAddr> {
    let address: SocketAddr = crowd.gateways.first()?.parse().ok()?;
    let index = u8::try_from(client / SOCKETS_PER_ADDRESS).ok()?;
    let more = index > 0 && address.is_ipv4() && address.ip().is_loopback();
    more.then(|| Ipv4Addr::new(127, 0, 0, 1 + index).into())
}

/// Says how things stand, until nobody listens. How late it wakes is how late everything here is.
async fn tell(board: Arc<Board>, reports: mpsc::Sender<Report>) {
    const TICK: Duration = Duration::from_millis(10);
    let (mut lag_us, mut told) = (0, Instant::now());
    while !reports.is_closed() {
        let begin = Instant::now();
        sleep(TICK).await;
        lag_us = lag_us.max(begin.elapsed().saturating_sub(TICK).as_micros() as u64);
        if told.elapsed() >= SAMPLE_EVERY {
            let sample = board.sample(std::mem::take(&mut lag_us));
            told = Instant::now();
            reports.send(Report::Sample(Box::new(sample))).await.ok();
        }
    }
}

/// Lets somebody say something as often as it is to be, whoever is out or not.
async fn act(
    board: Arc<Board>,
    members: Arc<Mutex<Vec<Seated>>>,
    pace: watch::Receiver<(f64, usize)>,
    mut rng: StdRng,
) {
    const TICK: Duration = Duration::from_millis(2);
    let (mut due, mut last, mut ticks) = (0.0, Instant::now(), interval(TICK));
    loop {
        ticks.tick().await;
        let (per_s, text_bytes) = *pace.borrow();
        let now = Instant::now();
        due += per_s * now.duration_since(last).as_secs_f64();
        last = now;
        if per_s == 0.0 {
            due = 0.0;
        }
        while due >= 1.0 {
            due -= 1.0;
            let speaker = {
                let members = members.lock();
                if members.is_empty() {
                    continue;
                }
                members[rng.random_range(0..members.len())].clone()
            };
            if speaker.driver.client(|client| client.pending()) < UNDER_WAY_MAX {
                speaker.speak(&board, text_bytes);
            }
        }
    }
}
