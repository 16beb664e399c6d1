use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use outlast_testkit::free_port;
use serde_json::Value;

const PROJECT: &str = "outlast-test";
const PATIENCE: Duration = Duration::from_secs(240);

/// The fleet of docker-compose.yml under podman; gone when it is dropped.
pub(crate) struct Compose {
    port: u16,
    redis_port: u16,
}

impl Compose {
    pub(crate) fn up() -> Compose {
        let fleet = Compose {
            port: free_port(),
            redis_port: free_port(),
        };
        fleet.down();
        fleet.compose(&["up", "--detach", "--no-build"]);
        fleet
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis_port)
    }

    /// Waits until a service's own health check passes.
    pub(crate) fn healthy(&self, service: &str) {
        let start = Instant::now();
        while !try_podman(&["healthcheck", "run", &container(service)])
            .status
            .success()
        {
            assert!(
                start.elapsed() < PATIENCE,
                "{service} is not healthy\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn inspect(&self, service: &str) -> Value {
        let text = podman(&["inspect", &container(service)]);
        serde_json::from_str::<Value>(&text).unwrap()[0].take()
    }

    /// SIGTERM, and once it has ended, a new container; answers the exit code of the old one.
    pub(crate) fn replace(&self, service: &str) -> i64 {
        podman(&["stop", "--time", "45", &container(service)]);
        let code = self.inspect(service)["State"]["ExitCode"].as_i64();
        // Podman would not remove it, since the proxy's container depends on it.
        podman(&["rename", &container(service), &format!("{PROJECT}-old")]);
        self.compose(&["up", "--detach", "--no-build"]);
        self.healthy(service);
        code.unwrap()
    }

    /// SIGKILL, and the same container again.
    pub(crate) fn kill_and_start(&self, service: &str) {
        podman(&["kill", &container(service)]);
        podman(&["start", &container(service)]);
    }

    /// The last that every container said, for a failure.
    pub(crate) fn logs(&self) -> String {
        let names = podman(&["ps", "--all", "--format", "{{.Names}}"]);
        let ours = names.lines().filter(|name| name.starts_with(PROJECT));
        ours.map(|name| {
            let said = try_podman(&["logs", "--tail", "20", name]);
            let text = [said.stdout, said.stderr].concat();
            format!("── {name}\n{}\n", String::from_utf8_lossy(&text))
        })
        .collect()
    }

    fn down(&self) {
        let names = podman(&["ps", "--all", "--format", "{{.Names}}"]);
        let ours = names.lines().filter(|name| name.starts_with(PROJECT));
        for name in ours {
            try_podman(&[
                "rm",
                "--force",
                "--depend",
                "--time",
                "0",
                "--volumes",
                name,
            ]);
        }
        try_podman(&["volume", "rm", "--force", &format!("{PROJECT}_redis")]);
        try_podman(&["network", "rm", "--force", &format!("{PROJECT}_default")]);
    }

    fn compose(&self, arguments: &[&str]) {
        let further = std::env::var("OUTLAST_PODMAN_RUN_ARGS").unwrap_or_default();
        let mut command =
            Command::new(std::env::var("PODMAN_COMPOSE").unwrap_or("podman-compose".into()));
        command
            .args(["--project-name", PROJECT, "--podman-run-args", &further])
            .args([
                "--file",
                "docker-compose.yml",
                "--file",
                "tests/containers/compose.yml",
            ])
            .args(arguments)
            .env("OUTLAST_PORT", self.port.to_string())
            .env("OUTLAST_TEST_REDIS_PORT", self.redis_port.to_string())
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        succeeded(&format!("{command:?}"), command.output());
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        self.down();
    }
}

fn container(service: &str) -> String {
    format!("{PROJECT}_{service}_1")
}

fn podman(arguments: &[&str]) -> String {
    let output = Command::new("podman").args(arguments).output();
    succeeded(&format!("podman {}", arguments.join(" ")), output)
}

fn try_podman(arguments: &[&str]) -> Output {
    let output = Command::new("podman").args(arguments).output();
    output.expect("podman is installed")
}

fn succeeded(what: &str, output: std::io::Result<Output>) -> String {
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}\n{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
