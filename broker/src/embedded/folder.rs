use std::path::Path;

use redb::Database;

use super::disk::Medium;
use crate::BrokerError;

/// The file in the data folder that holds everything.
const FILE: &str = "outlast.redb";

/// How much of the file redb may keep in memory, besides what the system does.
const CACHE_BYTES: usize = 256 << 20;

/// The database file in a folder, which is created where there is none.
pub(super) fn medium(folder: &Path) -> Result<Medium, BrokerError> {
    let name = format!("the data folder {}", folder.display());
    std::fs::create_dir_all(folder).map_err(|error| {
        BrokerError::Unavailable(format!(
            "{name} cannot be created ({error}); create it, writable for this user, or choose \
             another with --store embedded:PATH"
        ))
    })?;
    let file = folder.join(FILE);
    let open = move || {
        Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&file)
    };
    Ok(Medium {
        name,
        open: Box::new(open),
    })
}
