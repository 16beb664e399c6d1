use std::{
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{PATIENCE, free_port};

/// A redis-server of the test's own, in a temporary folder; killed when it is dropped.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    prepare: Prepare,
}

/// What a process is started with besides.
type Prepare = Box<dyn Fn(&mut Command) + Send + Sync>;

impl Redis {
    pub(crate) fn start() -> Redis {
        Redis::start_at(free_port())
    }

    /// Starts one on this port.
    pub(crate) fn start_at(port: u16) -> Redis {
        Redis::spawn(port, Box::new(|_| {}))
    }

    /// Starts one, and each time again, with what this adds.
    #[allow(dead_code, reason = "shared with tests that do not need it")]
    pub(crate) fn start_with(prepare: Prepare) -> Redis {
        Redis::spawn(free_port(), prepare)
    }

    fn spawn(port: u16, prepare: Prepare) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(port, folder.path(), &prepare);
        Redis {
            child,
            port,
            folder,
            prepare,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Starts it again on the same port and folder.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, self.folder.path(), &self.prepare);
    }

    /// Runs a command with redis-cli.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, folder: &Path, prepare: &Prepare) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ])
        // What it has answered outlives SIGKILL; for a power cut it would have to wait for the disk.
        .args(["--appendonly", "yes", "--appendfsync", "no"])
        .args(["--stream-node-max-bytes", "512", "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    prepare(&mut command);
    let child = command.spawn().expect("redis-server is installed");
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < PATIENCE, "redis-server does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}
