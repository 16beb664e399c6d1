//! Rooms that abort, overflow the stack, loop or sleep (W11, W12), in real processes: what they do to those who run them, and
//! to their neighbours.
//!
//! The processes are this very program, which is `outlast` with such rooms when its environment says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod cases;
mod rooms;
mod supervised;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

use outlast::Registry;

fn main() -> ExitCode {
    if std::env::var_os(rooms::FILE).is_some() {
        return outlast::main(Registry::bundled().with::<rooms::Poison>());
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let asked =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    let cases: Vec<_> = cases::ALL.iter().filter(|(name, _)| asked(name)).collect();
    if args.iter().any(|arg| arg == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", cases.len());
    let failed = cases.iter().filter(|(name, case)| {
        let start = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(case)).is_ok();
        let outcome = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {outcome} ({:?})", start.elapsed());
        !passed
    });
    match failed.count() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
