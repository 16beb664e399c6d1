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
    command::{Cohort, Command, Kind, Message, Results},
    observer::ClientObserver,
    scoreboard::{ClientState, Scoreboard},
    stamp::{say, stamp, stamp_of},
};
use crate::options::{CLIENTS_MAX, trust};

/// The interval of samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// The interval of looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The time that a client may take on its first way in.
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);
/// The number of actions that a client may have under way.
const UNDER_WAY_MAX: usize = 20;
/// The number of sockets of one source address: there are 28,000 ports, and a storm leaves some in use.
const SOCKETS_PER_ADDRESS: u32 = 14_000;
/// D2.
const BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(30);
/// The bytes that the system keeps unread for a slow reader: far less than a minute of a room.
const SLOW_BUFFER_BYTES: u32 = 8_192;
const RUDE: Duration = Duration::from_millis(100);

/// Does what it is told until nobody tells it anything any more.
pub(crate) async fn run(mut commands: mpsc::Receiver<Command>, messages: mpsc::Sender<Message>) {
    let mut clients: Option<LocalClients> = None;
    while let Some(command) = commands.recv().await {
        let report = match obey(&mut clients, command, &messages).await {
            Ok(done) => Message::Done(Box::new(done)),
            Err(error) => Message::Failed(format!("{error:#}")),
        };
        if messages.send(report).await.is_err() {
            break;
        }
    }
}

async fn obey(
    clients: &mut Option<LocalClients>,
    command: Command,
    messages: &mpsc::Sender<Message>,
) -> anyhow::Result<Results> {
    if let Command::Arrive(cohort) = command {
        let clients = match clients {
            Some(clients) => clients,
            none => none.insert(LocalClients::new(&cohort, messages.clone())?),
        };
        clients.arrive(cohort).await?;
        return Ok(Results::default());
    }
    let clients = clients.as_mut().context("there is nobody")?;
    match command {
        Command::Arrive(_) => {}
        Command::Act { per_s, text_bytes } => drop(clients.pace.send((per_s, text_bytes))),
        Command::Storm => clients.board.storm_begins(Instant::now()),
        Command::Cut => clients.cut(),
        Command::Read { every, bytes_per_s } => {
            let members = clients.members.lock().clone();
            let slow = |member: &PoolClient| member.client.is_multiple_of(every);
            for member in members.into_iter().filter(slow) {
                clients.board.touch(member.client);
                member.driver.read_at_most(bytes_per_s);
            }
        }
        Command::Settle { within_ms } => {
            return Ok(clients.settle(Duration::from_millis(within_ms)).await);
        }
    }
    Ok(Results::default())
}

/// Everybody in this process.
struct LocalClients {
    /// Where clients run: those that are cut, or begin at a gateway that dies, are not to delay, in this very
    /// program, the others, whose latency is measured.
    runtimes: [ClientRuntime; RUNTIMES],
    /// Those that are cut.
    victims: HashSet<u32>,
    board: Arc<Scoreboard>,
    ledger: Arc<Ledger>,
    members: Arc<Mutex<Vec<PoolClient>>>,
    bare: Vec<Bare>,
    pace: watch::Sender<(f64, usize)>,
    trust: Trust,
    /// Tasks that run beside the clients.
    tasks: Vec<AbortHandle>,
}

/// The number of runtimes, each of which has a thread.
const RUNTIMES: usize = 2;

/// A runtime that can be dropped anywhere.
struct ClientRuntime(Option<Runtime>);

impl ClientRuntime {
    fn new() -> std::io::Result<ClientRuntime> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        Ok(ClientRuntime(Some(
            runtime.worker_threads(1).enable_all().build()?,
        )))
    }

    /// Whatever this spawns runs there.
    fn within<T>(&self, spawn: impl FnOnce() -> T) -> T {
        let _there = self.0.as_ref().map(Runtime::enter);
        spawn()
    }
}

impl Drop for ClientRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client with its room.
#[derive(Clone)]
struct PoolClient {
    client: u32,
    driver: Arc<Driver<ClientObserver>>,
    room: RoomName,
}

/// A client of the baseline.
struct Bare {
    client: u32,
    state: Arc<Mutex<ClientState>>,
    cut: Arc<Notify>,
    task: AbortHandle,
}

impl LocalClients {
    fn new(cohort: &Cohort, messages: mpsc::Sender<Message>) -> anyhow::Result<Self> {
        let board = Arc::new(Scoreboard::new(cohort.first, CLIENTS_MAX));
        let members = Arc::new(Mutex::new(Vec::new()));
        let (pace, paced) = watch::channel((0.0, 0));
        let rng = StdRng::seed_from_u64(cohort.seed ^ 0xac7);
        let runtimes = [ClientRuntime::new()?, ClientRuntime::new()?];
        let sampling = send_samples(board.clone(), messages);
        // A store that may lose acknowledged writes may lose sessions, too.
        let diverged = cohort.may_diverge.then_some(SnapshotReason::Diverged);
        let excuses = Excuses {
            snapshots: diverged.into_iter().collect(),
            sessions_may_go: cohort.may_diverge,
            rooms_may_be_slow: cohort.may_diverge,
        };
        let tasks = [
            // Beside those that are not cut when the first gateway dies: what delays it delays them.
            runtimes[RUNTIMES - 1].within(|| tokio::spawn(sampling)),
            tokio::spawn(act(board.clone(), members.clone(), paced, rng)),
        ];
        Ok(LocalClients {
            runtimes,
            victims: HashSet::new(),
            board,
            ledger: Arc::new(Ledger::new(stamp_of, excuses)),
            members,
            bare: Vec::new(),
            pace,
            trust: trust(cohort.ca_file.as_deref())?,
            tasks: tasks.iter().map(|task| task.abort_handle()).collect(),
        })
    }

    async fn arrive(&mut self, cohort: Cohort) -> anyhow::Result<()> {
        let clients = cohort.first..cohort.first + cohort.clients;
        self.victims.extend(victims(&cohort));
        if cohort.kind == Kind::Bare {
            for client in clients {
                let state = Arc::new(Mutex::new(ClientState::new(client, cohort.kind)));
                let (settings, cut) = (self.settings(&cohort, client), Arc::new(Notify::new()));
                let runtime = self.runtime(&cohort, client, &settings);
                let stay = bare::stay(settings, self.board.clone(), state.clone(), cut.clone());
                let task = runtime.within(|| tokio::spawn(stay).abort_handle());
                self.bare.push(Bare {
                    client,
                    state,
                    cut,
                    task,
                });
                if self.bare.len().is_multiple_of(cohort.at_once) {
                    self.all_up(cohort.at_once / 2).await?;
                }
            }
            return self.all_up(0).await;
        }
        let rooms: Vec<RoomName> = (cohort.first_room..cohort.first_room + cohort.rooms.max(1))
            .map(|room| format!("chat/storm-{}-{room}", cohort.run).parse())
            .collect::<Result<_, _>>()?;
        let come = clients.map(|client| {
            let turn = (client - cohort.first) as usize / cohort.gateways.len().max(1);
            self.come(&cohort, client, rooms[turn % rooms.len()].clone())
        });
        let coming = stream::iter(come).buffer_unordered(cohort.at_once);
        let seated: Vec<PoolClient> = coming.try_collect().await?;
        self.members.lock().extend(seated);
        Ok(())
    }

    async fn come(
        &self,
        cohort: &Cohort,
        client: u32,
        room: RoomName,
    ) -> anyhow::Result<PoolClient> {
        let judge = Judge::new(client as usize, self.ledger.clone());
        let state = ClientState::new(client, cohort.kind);
        let member = ClientObserver::new(judge, self.board.clone(), state);
        let settings = self.settings(cohort, client);
        let runtime = self.runtime(cohort, client, &settings);
        let driver = runtime.within(|| Driver::start_with(settings, member));
        driver.join(&room, &json!({"name": format!("client {client}")}));
        let is_in = |client: &reconnect_storm::Client, _: &ClientObserver| {
            (client.is_member(&room) && client.pending() == 0).then_some(())
        };
        let within = driver.wait("its first way in", ARRIVES_WITHIN, is_in).await;
        within.with_context(|| {
            format!(
                "client {client} cannot join {room} at {}",
                cohort.gateways.join(", ")
            )
        })?;
        let driver = Arc::new(driver);
        Ok(PoolClient {
            client,
            driver,
            room,
        })
    }

    fn runtime(&self, cohort: &Cohort, client: u32, settings: &Settings) -> &ClientRuntime {
        let number = if cohort.cut_share > 0.0 {
            usize::from(!self.victims.contains(&client))
        } else {
            settings.first_gateway % RUNTIMES
        };
        &self.runtimes[number]
    }

    fn settings(&self, cohort: &Cohort, client: u32) -> Settings {
        let mut settings = Settings::new(cohort.gateways.iter());
        let turn = (client - cohort.first) as usize;
        settings.first_gateway = if cohort.all_at_first { 0 } else { turn };
        settings.trust = self.trust.clone();
        settings.token = cohort.token.clone();
        settings.seed = cohort.seed.wrapping_add(u64::from(client));
        let is_slow = |every| client.is_multiple_of(every);
        let is_slow = cohort.slow_every.is_some_and(is_slow);
        settings.receive_buffer_bytes = is_slow.then_some(SLOW_BUFFER_BYTES);
        settings.backoff = match (cohort.kind, cohort.jitter) {
            (Kind::Rude, _) => Backoff::Fixed(RUDE),
            (Kind::Polite | Kind::Bare, true) => Backoff::default(),
            (Kind::Polite | Kind::Bare, false) => Backoff::Prompt {
                base: BASE,
                cap: CAP,
            },
        };
        settings.is_polite = cohort.kind != Kind::Rude;
        settings.source = source(cohort, client);
        settings
    }

    /// Waits until no more than so many bare clients are on their way.
    async fn all_up(&self, under_way_max: usize) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let bare = self.bare.iter();
            let away = bare.filter(|bare| !bare.state.lock().is_whole());
            if away.count() <= under_way_max {
                return Ok(());
            }
            let has_time = begin.elapsed() < ARRIVES_WITHIN;
            anyhow::ensure!(has_time, "the bare clients cannot connect");
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

    /// Lets everybody come to an end, and returns what became of them. The judge of a client that does not come to one
    /// in time finds that out.
    async fn settle(&mut self, within: Duration) -> Results {
        self.pace.send((0.0, 0)).ok();
        let deadline = Instant::now() + within;
        let members = self.members.lock().clone();
        let settled = |member: &PoolClient| {
            member.driver.client(|client| client.pending()) == 0
                && member.driver.observer(|observer| observer.is_whole())
        };
        until(deadline, || members.iter().all(settled)).await;
        let bare_settled = || self.bare.iter().all(|bare| bare.state.lock().is_whole());
        until(deadline, bare_settled).await;
        // A last word in each room: everybody there has to hear it.
        let rooms = members.iter().map(|member| (&member.room, member));
        let rooms: BTreeMap<&RoomName, &PoolClient> = rooms.collect();
        for member in rooms.into_values() {
            member.speak(&self.board, 0);
        }
        let has_heard = |member: &PoolClient| {
            let room = &member.room;
            let driver = &member.driver;
            settled(member) && driver.observer(|observer| observer.has_read_all(room))
        };
        until(deadline, || members.iter().all(has_heard)).await;
        let bare = self.bare.iter().map(|bare| bare.state.lock().recovery);
        let mut results = Results {
            recoveries: bare.collect(),
            verdict: Verdict::default(),
        };
        for member in &members {
            let (recovery, verdict) = member.driver.observer(ClientObserver::finish);
            results.recoveries.push(recovery);
            results.verdict.add(verdict);
        }
        results
    }
}

impl Drop for LocalClients {
    fn drop(&mut self) {
        let bare = self.bare.iter().map(|bare| &bare.task);
        self.tasks.iter().chain(bare).for_each(AbortHandle::abort);
    }
}

impl PoolClient {
    fn speak(&self, board: &Scoreboard, text_bytes: usize) {
        board.count(|counts| counts.actions += 1);
        let stamp = stamp(self.client, board.speaks_us(Instant::now()));
        self.driver.act(&self.room, &say(stamp, text_bytes));
    }
}

async fn until(deadline: Instant, mut holds: impl FnMut() -> bool) {
    while !holds() && Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
    }
}

/// The share of a cohort that is to be cut: always the same ones.
fn victims(cohort: &Cohort) -> impl Iterator<Item = u32> + use<> {
    let mut clients: Vec<u32> = (cohort.first..cohort.first + cohort.clients).collect();
    clients.shuffle(&mut StdRng::seed_from_u64(cohort.seed));
    let count = (clients.len() as f64 * cohort.cut_share).round() as usize;
    clients.into_iter().take(count)
}

/// Where ports run out: 127.0.0.2 and up, for servers on this machine.
fn source(cohort: &Cohort, client: u32) -> Option<IpAddr> {
    let address: SocketAddr = cohort.gateways.first()?.parse().ok()?;
    let index = u8::try_from(client / SOCKETS_PER_ADDRESS).ok()?;
    let more = index > 0 && address.is_ipv4() && address.ip().is_loopback();
    more.then(|| Ipv4Addr::new(127, 0, 0, 1 + index).into())
}

/// Reports samples, until nobody listens. Its own lateness in waking is that of everything here.
async fn send_samples(board: Arc<Scoreboard>, messages: mpsc::Sender<Message>) {
    const TICK: Duration = Duration::from_millis(10);
    let (mut lag, mut told) = (Duration::ZERO, Instant::now());
    while !messages.is_closed() {
        let begin = Instant::now();
        sleep(TICK).await;
        lag = lag.max(begin.elapsed().saturating_sub(TICK));
        if told.elapsed() >= SAMPLE_EVERY {
            let sample = board.sample(std::mem::take(&mut lag));
            told = Instant::now();
            messages.send(Message::Sample(Box::new(sample))).await.ok();
        }
    }
}

/// Lets somebody say something as often as it is to be, whoever is out or not.
async fn act(
    board: Arc<Scoreboard>,
    members: Arc<Mutex<Vec<PoolClient>>>,
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
