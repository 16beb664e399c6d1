use std::{
    fmt,
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
};

use redb::{Database, DatabaseError, StorageError, backends::InMemoryBackend};

use super::memory::SharedMemory;
use crate::StoreError;

/// Where a database lies, and how to open it, as often as need be.
pub(super) struct Storage {
    /// The name that people know it by.
    name: String,
    open: Box<Opener>,
}

type Opener = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;

/// The file in the data folder that holds everything.
const FILE: &str = "outlast.redb";

/// The part of the file that redb may keep in memory, in bytes, besides what the system does.
const CACHE_BYTES: usize = 256 << 20;

impl Storage {
    pub(super) fn new(
        name: String,
        open: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static,
    ) -> Self {
        let open = Box::new(open);
        Storage { name, open }
    }

    /// A file in a folder, which is created where there is none.
    pub(super) fn folder(folder: &Path) -> Result<Self, StoreError> {
        let name = format!("the data folder {}", folder.display());
        create(folder).map_err(|error| {
            StoreError::Unavailable(format!(
                "{name} cannot be created ({error}); create it, writable for this user, or choose \
                 another with --store embedded:PATH"
            ))
        })?;
        let (folder, called) = (folder.to_owned(), name.clone());
        let file = folder.join(FILE);
        Ok(Storage::new(name, move || {
            let called = called.clone();
            let is_new = !file.exists();
            let database = Database::builder()
                .set_cache_size(CACHE_BYTES)
                .set_repair_callback(move |repair| {
                    let percent = (repair.progress() * 100.0) as u32;
                    tracing::info!(percent, "{called} was not closed cleanly; checking it");
                })
                .create(&file)?;
            if is_new {
                keep_entries(&folder).map_err(StorageError::from)?;
            }
            Ok(database)
        }))
    }

    pub(super) fn memory() -> Self {
        let memory = Arc::new(InMemoryBackend::new());
        Storage::new("memory".into(), move || {
            Database::builder().create_with_backend(SharedMemory(memory.clone()))
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Opens the database, and makes one where there is none.
    pub(super) fn open(&self) -> Result<Database, StoreError> {
        (self.open)().map_err(|error| self.explain(error.into()))
    }

    /// Why it cannot be opened, and what to do.
    fn explain(&self, error: redb::Error) -> StoreError {
        use StoreError::{Incompatible, Unavailable};
        let name = &self.name;
        if let redb::Error::DatabaseAlreadyOpen = error {
            return Unavailable(format!(
                "{name} is in use by another outlast process; stop that one, or give this one a \
                 folder of its own with --store embedded:PATH"
            ));
        }
        if let redb::Error::UpgradeRequired(_) = error {
            return Incompatible(format!(
                "{name} was written in an older file format; start the version of outlast that \
                 wrote it, or give this one a new folder with --store embedded:PATH"
            ));
        }
        if is_not_redb(&error) {
            return Incompatible(format!(
                "{name} holds a file {FILE} that is no store of outlast's or is damaged ({error}); \
                 put back a copy of it, or choose another folder with --store embedded:PATH"
            ));
        }
        Unavailable(format!(
            "{name} cannot be opened ({error}); it must be a folder that this user may write to, on a \
             disk with space, or choose another with --store embedded:PATH"
        ))
    }
}

/// Creates a folder that its owner alone can look into: what users say lies there. Its own entry and those of the
/// folders above it that are new outlive a power cut.
fn create(folder: &Path) -> io::Result<()> {
    let above: Vec<_> = missing(folder).map(holder).collect();
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    above.into_iter().try_for_each(keep_entries)
}

/// A folder that is not there, and those above it that are not either.
fn missing(folder: &Path) -> impl Iterator<Item = &Path> {
    let named = folder.ancestors().filter(|path| *path != Path::new(""));
    named.take_while(|path| !path.exists())
}

/// Where the entry of a folder stands.
fn holder(folder: &Path) -> &Path {
    let parent = folder.parent().filter(|path| *path != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// Makes what a folder says of its files outlive a power cut: a file that is synced alone may be there without a name.
fn keep_entries(folder: &Path) -> io::Result<()> {
    // Elsewhere a folder cannot be opened, and the system sees to it.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn is_not_redb(error: &redb::Error) -> bool {
    if let redb::Error::Io(io) = error {
        return matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
    }
    matches!(error, redb::Error::Corrupted(_))
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_the_entry_of_every_folder_that_is_new_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a").join("b");
        let kept: Vec<_> = missing(&folder).map(holder).collect();
        assert_eq!(kept, [root.path().join("a"), root.path().to_owned()]);
        create(&folder).unwrap();
        assert_eq!(missing(&folder).count(), 0);
        create(&folder).unwrap();
        assert_eq!(holder(Path::new("data")), Path::new("."));
    }
}
