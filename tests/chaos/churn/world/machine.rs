use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{Store, TTL, address};
use crate::{clock::WallClock, proxy::Proxy, support::command};

/// What a process does.
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
    child: Option<Child>,
    began: Instant,
    stopped: bool,
    number: usize,
    args: Vec<String>,
    /// How often it was started.
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
        let admin = address();
        let mut args = vec![role.name().to_owned(), "--store".into(), store];
        args.extend(["--admin-listen".into(), admin.clone()]);
        args.extend(["--audit-ms", "3000"].map(str::to_owned));
        let mut listen = None;
        if matches!(role, Role::All | Role::Gateway) {
            let here = listen.insert(address()).clone();
            args.extend(["--listen".into(), here, "--allow-anonymous".into()]);
            args.extend(["--heartbeat-ms", "4000", "--drain-ms", "6000"].map(str::to_owned));
        }
        if role != Role::Worker {
            args.extend(["--session-ttl-ms".into(), TTL.as_millis().to_string()]);
        }
        if matches!(role, Role::All | Role::Worker) {
            // Nothing is trimmed, so that the logs can be compared whole.
            let keep = ["--log-entries", "1000000", "--log-age-ms", "100000000"];
            args.extend(keep.map(str::to_owned));
        }
        Machine {
            role,
            listen,
            admin,
            link,
            clock: WallClock::new(),
            back_at: None,
            clock_back: None,
            child: None,
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
        self.child.is_some() && self.back_at.is_none()
    }

    /// Whether it has been there for long enough to know what time it was.
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
        self.child = Some(command.spawn().expect("the binary runs"));
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
        let ended = self.child.as_mut()?.try_wait().unwrap()?;
        let lived = self.began.elapsed();
        self.child = None;
        self.back_at = Some(now + Duration::from_millis(500));
        let what = format!("{} ended by itself after {lived:.1?}: {ended}", self.name());
        (lived > STARTING).then_some(what)
    }

    pub(super) fn kill(&mut self) {
        self.stopped = false;
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    fn signal(&self, signal: &str) {
        let Some(child) = &self.child else {
            return;
        };
        let pid = child.id().to_string();
        Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .ok();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}
