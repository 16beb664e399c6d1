//! Applications on outlast.js, in a process of Node.js.

mod witness;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) use witness::Page;

/// The process, and what its applications told so far.
pub(crate) struct Pages {
    child: Child,
    stdin: ChildStdin,
    told: Arc<Mutex<Vec<Page>>>,
    stderr: Arc<Mutex<String>>,
}

impl Pages {
    /// So many applications, each in two of so many rooms; hasty ones join again without waiting for the leave.
    pub(crate) fn start(
        count: usize,
        rooms: usize,
        address: &str,
        seed: u64,
        hasty: bool,
        begun: Instant,
    ) -> Pages {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chaos/churn/page.mjs");
        let url = format!("ws://{address}");
        let seed = (seed % (1 << 30)).to_string();
        let mut child = Command::new("node")
            .args(["--experimental-websocket", "--no-warnings", script, &url])
            .args([&count.to_string(), &rooms.to_string(), &seed])
            .arg(u8::from(hasty).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Node.js 20 or newer is installed");
        let late = begun.elapsed();
        let pages = (0..count).map(Page::new).collect();
        let told: Arc<Mutex<Vec<Page>>> = Arc::new(Mutex::new(pages));
        let (into, lines) = (told.clone(), BufReader::new(child.stdout.take().unwrap()));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).expect("a page tells JSON");
                let at = late + Duration::from_secs_f64(line["at"].as_f64().unwrap() / 1000.0);
                let page = line["page"].as_u64().unwrap() as usize;
                into.lock().unwrap()[page].heard(begun, at, &line);
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let (into, lines) = (stderr.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                into.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Pages {
            stdin: child.stdin.take().unwrap(),
            child,
            told,
            stderr,
        }
    }

    /// No more actions, but for those that bring everybody into their rooms.
    pub(crate) fn calm(&mut self) {
        self.word("calm");
    }

    /// Every session is ended.
    pub(crate) fn end(&mut self) {
        self.word("end");
    }

    /// The process dies.
    pub(crate) fn vanish(&mut self) {
        self.child.kill().ok();
    }

    fn word(&mut self, word: &str) {
        writeln!(self.stdin, "{word}").ok();
    }

    /// Looks at what they told so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Page]) -> T) -> T {
        look(&self.told.lock().unwrap())
    }

    /// Returns the standard error of the process itself.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Ends the process, without a word to the server, and answers everything that was told.
    pub(crate) fn stop(mut self) -> Vec<Page> {
        self.child.kill().ok();
        self.child.wait().ok();
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
