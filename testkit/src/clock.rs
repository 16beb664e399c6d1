//! Wall clocks that can be shifted.

use std::{path::PathBuf, process::Command, sync::OnceLock};

/// The wall clock of a process that is started with it, and of its children; the monotonic clock stays right.
#[derive(Debug)]
pub struct WallClock {
    file: tempfile::NamedTempFile,
}

impl WallClock {
    /// A clock that is right.
    #[expect(clippy::new_without_default, reason = "it is made on purpose")]
    pub fn new() -> WallClock {
        let file = tempfile::NamedTempFile::new().unwrap();
        let clock = WallClock { file };
        clock.shift_ms(0);
        clock
    }

    /// The environment that lets a process run by this clock.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        let shift = self.file.path().to_owned();
        [
            ("LD_PRELOAD", library().clone()),
            ("WALL_CLOCK_SHIFT", shift),
        ]
    }

    /// Sets the clock this far ahead of the right time, or behind it, at once.
    pub fn shift_ms(&self, ms: i64) {
        use std::os::unix::fs::FileExt;
        let shift = (ms * 1_000_000).to_ne_bytes();
        self.file.as_file().write_all_at(&shift, 0).unwrap();
    }
}

/// Returns the library for `LD_PRELOAD`; compiled once.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let name = format!("wall-clock-{}.so", std::process::id());
        let library = std::env::current_exe().unwrap().with_file_name(name);
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status()
            .expect("cc is installed");
        assert!(compiled.success(), "cc cannot compile {source}");
        library
    })
}
