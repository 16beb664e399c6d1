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
}

impl Redis {
    pub(crate) fn start() -> Redis {
        Redis::start_at(free_port())
    }

    /// Starts one on this port.
    pub(crate) fn start_at(port: u16) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(port, folder.path());
        Redis {
            child,
            port,
            folder,
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
        self.child = spawn(self.port, self.folder.path());
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

fn spawn(port: u16, folder: &Path) -> Child {
    let child = Command::new("redis-server")
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
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < PATIENCE, "redis-server does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}
