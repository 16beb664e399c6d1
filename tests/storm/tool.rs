//! The real programs, built.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, OnceLock},
    time::SystemTime,
};

use serde_json::Value;

/// One storm at a time: they all want the whole machine.
static TURN: Mutex<()> = Mutex::new(());

/// The end of a run of the tool.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs the tool to its end; answers that, and what it wrote down of its first run.
pub(crate) fn run(args: &[&str]) -> (Ended, Value) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("run.json");
    let page = folder.path().join("run.html");
    let output = tool(args)
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(&page)
        .output()
        .unwrap();
    let ended = Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    if ended.code == Some(0) {
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains("<svg") && !page.contains("NaN"), "{page}");
    }
    let runs: Value = fs::read_to_string(json)
        .map(|text| serde_json::from_str(&text).unwrap())
        .unwrap_or_default();
    (ended, runs[0].clone())
}

/// The tool, with the outlast that belongs to this test.
pub(crate) fn tool(args: &[&str]) -> Command {
    let mut command = Command::new(built());
    command
        .args(args)
        .args(["--outlast", env!("CARGO_BIN_EXE_outlast")])
        .stdin(Stdio::null());
    command
}

/// The processes that a process has started and that run.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, parent)| parent == of))
        .collect()
}

/// True if a process is there, and no zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// A process's state and its parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Where the tool is. Cargo builds it beside outlast when it builds the workspace; when it is missing there
/// or older than its source, because the tests of this package are run alone, it is built.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let outlast = Path::new(env!("CARGO_BIN_EXE_outlast"));
        let tool = outlast.with_file_name("reconnect-storm");
        let source = newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("reconnect-storm/src"));
        let built = fs::metadata(&tool)
            .and_then(|metadata| metadata.modified())
            .ok();
        if built.is_none_or(|built| built < source) {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            cargo.args([
                "build",
                "--quiet",
                "--package",
                "reconnect-storm",
                "--target-dir",
            ]);
            cargo.arg(outlast.ancestors().nth(2).unwrap());
            if outlast
                .parent()
                .is_some_and(|folder| folder.ends_with("release"))
            {
                cargo.arg("--release");
            }
            assert!(
                cargo.status().unwrap().success(),
                "reconnect-storm cannot be built"
            );
        }
        tool
    })
}

fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let times = entries.map(|entry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            newest(&entry.path())
        } else {
            metadata.modified().unwrap()
        }
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
