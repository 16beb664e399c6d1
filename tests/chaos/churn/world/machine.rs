use outlast_testkit::{
    WallClock, free_address,
    outlast::{KEEP_ALL, command},
    process::Process,
    proxy::Proxy,
};
use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Store, TTL};

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    All,
    Gateway,
    Worker,
    Sessions,
}

/// A process, or the place of one that is away.
pub(crate) struct Machine {
    pub(crate) role: Role,
    pub(crate) listen: Option<String>,
    pub(crate) admin: String,
    /// On its way to Redis.
    pub(crate) link: Option<Proxy>,
    pub(crate) clock: WallClock,
    /// When it is started, or continued, again.
    back_at: Option<Instant>,
    /// When its clock is set right.
    pub(super) clock_back: Option<Instant>,
    process: Option<Process>,
    began: Instant,
    stopped: bool,
    number: usize,
    args: Vec<String>,
    /// The number of times that it was started.
    life: usize,
}

/// One that ends by itself after this long was not kept from starting.
const STARTING: Duration = Duration::from_secs(15);

impl Role {
    pub(super) const FLEET: [Role; 6] = [
        Role::Gateway,
        Role::Gateway,
        Role::Worker,
        Role::Worker,
        Role::Sessions,
        Role::Sessions,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::All => "all",
            Role::Gateway => "gateway",
            Role::Worker => "worker",
            Role::Sessions => "sessions",
        }
    }
}

impl Machine {
    /// A place, with nothing running there yet.
    pub(super) async fn new(role: Role, number: usize, store: Store, url: &str) -> Machine {
        let link = match store {
            Store::Redis => Some(Proxy::start(&[url.to_owned()]).await),
            Store::Embedded => None,
        };
        let store = match &link {
            Some(link) => format!("redis://{}", link.address()),
            None => format!("embedded:{url}"),
        };
        let admin = free_address();
        let mut args = vec![role.name().to_owned(), "--store".into(), store];
        args.extend(["--admin-listen".into(), admin.clone()]);
        args.extend(["--audit-ms", "3000"].map(str::to_owned));
        let mut listen = None;
        if matches!(role, Role::All | Role::Gateway) {
            let here = listen.insert(free_address()).clone();
            args.extend(["--listen".into(), here, "--allow-anonymous".into()]);
            args.extend(["--heartbeat-ms", "4000", "--drain-ms", "6000"].map(str::to_owned));
        }
        if role != Role::Worker {
            args.extend(["--session-ttl-ms".into(), TTL.as_millis().to_string()]);
        }
        if matches!(role, Role::All | Role::Worker) {
            args.extend(KEEP_ALL.map(str::to_owned));
        }
        Machine {
            role,
            listen,
            admin,
            link,
            clock: WallClock::new(),
            back_at: None,
            clock_back: None,
            process: None,
            began: Instant::now(),
            stopped: false,
            number,
            args,
            life: 0,
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.role.name(), self.number)
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.is_some() && self.back_at.is_none()
    }

    /// True if it has been there for long enough to know what time it was.
    pub(super) fn has_settled(&self) -> bool {
        self.runs() && self.began.elapsed() > Duration::from_secs(3)
    }

    pub(super) fn start(&mut self, folder: &Path) {
        self.kill();
        // A clock that is ahead when nobody is there to see it jump is the time that has passed (T4).
        self.clock.shift_ms(0);
        self.clock_back = None;
        let mut command = match std::env::var_os("OUTLAST_CHAOS_BIN") {
            Some(build) => Command::new(build),
            None => command(&[]),
        };
        command.args(&self.args).stdin(Stdio::null());
        self.life += 1;
        let log = folder.join(format!("{}.{}.log", self.name(), self.life));
        command.envs(self.clock.environment());
        command.stdout(Stdio::null());
        command.stderr(File::create(log).unwrap());
        self.process = Some(Process::spawn(&mut command));
        self.began = Instant::now();
    }

    /// SIGKILL; it is started again after a while.
    pub(super) fn kill_for(&mut self, away: Duration) {
        self.kill();
        self.back_at = Some(Instant::now() + away);
    }

    /// SIGSTOP; it goes on after a while.
    pub(super) fn stop_for(&mut self, away: Duration) {
        self.signal("STOP");
        self.stopped = true;
        self.back_at = Some(Instant::now() + away);
    }

    /// SIGTERM; it is started again after a while.
    pub(super) fn drain_for(&mut self, away: Duration) {
        self.signal("TERM");
        self.back_at = Some(Instant::now() + away);
    }

    /// Starts it, or lets it go on, when it is time. What it says of one that ended by itself.
    pub(super) fn revive(&mut self, now: Instant, folder: &Path) -> Option<String> {
        if self.back_at.is_some_and(|at| at <= now) {
            self.back_at = None;
            match std::mem::take(&mut self.stopped) {
                true => self.signal("CONT"),
                false => self.start(folder),
            }
        }
        if self.back_at.is_some() {
            return None;
        }
        let ended = self.process.as_mut()?.exited()?;
        let lived = self.began.elapsed();
        self.process = None;
        self.back_at = Some(now + Duration::from_millis(500));
        let what = format!("{} ended by itself after {lived:.1?}: {ended}", self.name());
        (lived > STARTING).then_some(what)
    }

    pub(super) fn kill(&mut self) {
        self.stopped = false;
        self.process = None;
    }

    fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }
}
