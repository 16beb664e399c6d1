//! Processes that do not outlive the test.

use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};

/// A process, killed when it is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn spawn(command: &mut Command) -> Self {
        let child = command.spawn();
        Process(child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Returns the status with which it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Its standard output and its standard error, which were to be piped.
    pub(crate) fn pipes(&mut self) -> (ChildStdout, ChildStderr) {
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        (stdout.unwrap(), stderr.unwrap())
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        // It fails where the process has ended already, and that is what was wanted.
        self.0.kill().ok();
        self.0.wait().ok();
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal, such as `STOP`, to a process.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success(), "no process {pid} to signal");
}
