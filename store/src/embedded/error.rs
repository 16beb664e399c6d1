use std::io::ErrorKind;

use crate::StoreError;

/// Why an operation stops.
#[derive(Debug)]
pub(super) enum WriteError {
    /// It is refused, and has changed nothing; the others of its batch go on.
    Refused(StoreError),
    /// The disk failed, and with it the whole batch.
    Broken(redb::Error),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        WriteError::Refused(error)
    }
}

macro_rules! broken {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for WriteError {
            fn from(error: redb::$error) -> Self {
                WriteError::Broken(error.into())
            }
        }
    )*};
}
broken!(StorageError, TableError, TransactionError, CommitError);

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(error) => error,
            WriteError::Broken(error) => explain(&error),
        }
    }
}

/// Returns the store's error for a failing disk.
pub(super) fn explain(error: &redb::Error) -> StoreError {
    if let redb::Error::Io(io) = error
        && matches!(
            io.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        )
    {
        return StoreError::Full(format!("the disk is full ({io})"));
    }
    StoreError::Unavailable(error.to_string())
}

/// The reading and writing of the JSON in the store.
pub(super) mod json {
    use serde::{Serialize, de::DeserializeOwned};

    use crate::StoreError;

    /// Reads what this version, another one or a broken disk wrote.
    pub(in super::super) fn read<T: DeserializeOwned>(
        what: &str,
        text: &str,
    ) -> Result<T, StoreError> {
        serde_json::from_str(text)
            .map_err(|error| StoreError::Unreadable(format!("{what}: {error}: {text}")))
    }

    /// Writes a value of this crate's, whose keys are all strings.
    pub(in super::super) fn write(value: &impl Serialize) -> String {
        serde_json::to_string(value).expect("this crate's types have string keys")
    }
}
