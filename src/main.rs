//! The `outlast` binary with the bundled rooms.

use std::process::ExitCode;

fn main() -> ExitCode {
    outlast::main(outlast::Registry::bundled())
}
