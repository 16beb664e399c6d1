use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use super::server::{Log, Server};
use crate::{patience::PATIENCE, process::Process};

/// A process of the real binary that may not be ready yet.
#[derive(Debug)]
pub struct Starting {
    server: Server,
    said: mpsc::Receiver<String>,
}

impl Starting {
    /// Starts the binary.
    pub fn spawn(mut command: Command) -> Starting {
        let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let (stdout, stderr) = process.pipes();
        let log = Log::of(stderr);
        let mut stdout = BufReader::new(stdout);
        let (told, said) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).ok();
            told.send(line).ok();
            stdout.read_to_string(&mut String::new()).ok();
        });
        let server = Server::new(process, log);
        Starting { server, said }
    }

    /// Returns whether it still runs and has not said that it is ready.
    pub fn is_waiting(&mut self) -> bool {
        self.server.runs() && matches!(self.said.try_recv(), Err(mpsc::TryRecvError::Empty))
    }

    /// Waits until it is ready.
    pub fn ready(self) -> Server {
        let line = self.said.recv_timeout(PATIENCE).unwrap_or_default();
        let log = self.server.log();
        assert!(
            line.contains(" ready"),
            "no ready line, but {line:?}\n{log}"
        );
        let address = line.trim().rsplit_once("http://");
        self.server.at(address.map_or("", |(_, address)| address))
    }

    /// Returns its log so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Sends a signal, and returns the exit code.
    pub fn end(self, signal: &str) -> Option<i32> {
        self.server.signal(signal);
        self.server.wait()
    }
}
