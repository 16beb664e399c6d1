use std::io::ErrorKind;

use crate::BrokerError;

/// Why an operation stops.
#[derive(Debug)]
pub(super) enum Halt {
    /// It is refused, and has changed nothing; the others of its batch go on.
    Refused(BrokerError),
    /// The disk failed, and with it the whole batch.
    Broken(redb::Error),
}

impl From<BrokerError> for Halt {
    fn from(error: BrokerError) -> Self {
        Halt::Refused(error)
    }
}

macro_rules! broken {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for Halt {
            fn from(error: redb::$error) -> Self {
                Halt::Broken(error.into())
            }
        }
    )*};
}
broken!(StorageError, TableError, TransactionError, CommitError);

impl From<Halt> for BrokerError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Refused(error) => error,
            Halt::Broken(error) => explain(&error),
        }
    }
}

/// What a failing disk means to whoever asked.
pub(super) fn explain(error: &redb::Error) -> BrokerError {
    if let redb::Error::Io(io) = error
        && matches!(
            io.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        )
    {
        return BrokerError::Full(format!("the disk is full ({io})"));
    }
    BrokerError::Unavailable(error.to_string())
}

/// What lies in the store as JSON, read or written.
pub(super) mod json {
    use serde::{Serialize, de::DeserializeOwned};

    use crate::BrokerError;

    /// Reads what this version, another one or a broken disk wrote.
    pub(in super::super) fn read<T: DeserializeOwned>(
        what: &str,
        text: &str,
    ) -> Result<T, BrokerError> {
        serde_json::from_str(text)
            .map_err(|error| BrokerError::Unreadable(format!("{what}: {error}: {text}")))
    }

    /// Writes a value of this crate's, whose keys are all strings.
    pub(in super::super) fn write(value: &impl Serialize) -> String {
        serde_json::to_string(value).expect("this crate's types have string keys")
    }
}
