use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Value, value::RawValue};

use crate::value;

/// An application's data: any JSON value, kept as its text so that it is parsed only where somebody
/// needs to know what it means. In MessagePack it is the same value in that encoding.
///
/// Every payload can be read as a [`Value`], and so be written in either codec: a text that follows the
/// grammar but stands for no value (`1e999`, half a surrogate pair, more than 127 levels) makes none.
#[derive(Clone)]
pub struct Payload(Box<RawValue>);

/// The text is not one JSON value, or the value cannot be written as one.
#[derive(Debug, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct NotJson(#[from] serde_json::Error);

impl Payload {
    /// The payload `null`.
    pub fn null() -> Self {
        Payload(RawValue::NULL.to_owned())
    }

    /// Keeps a JSON text, which must be exactly one value.
    pub fn from_json(text: String) -> Result<Self, NotJson> {
        Payload::checked(RawValue::from_string(text)?)
    }

    /// Writes a value down as a payload.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, NotJson> {
        Payload::checked(serde_json::value::to_raw_value(value)?)
    }

    fn checked(text: Box<RawValue>) -> Result<Self, NotJson> {
        value::check(text.get())?;
        Ok(Payload(text))
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// Reads the payload as a type of the application's.
    pub fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, NotJson> {
        Ok(serde_json::from_str(self.0.get())?)
    }
}

/// Reads an optional payload so that `null` is a payload and only a missing field is none:
/// `#[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]`.
pub fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(deserializer).map(Some)
}

impl From<&Value> for Payload {
    fn from(value: &Value) -> Self {
        // A `Value` serialises, since its keys are strings and its numbers are finite; one that could not
        // be read again (it is too deep) is as good as nothing.
        Payload::of(value).unwrap_or_else(|_| Payload::null())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}

impl PartialEq for Payload {
    /// Equal as values: the order of keys and the spaces do not count.
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
            || matches!((self.read::<Value>(), other.read::<Value>()), (Ok(a), Ok(b)) if a == b)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        self.read::<Value>()
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Box::<RawValue>::deserialize(deserializer)?;
            return Payload::checked(text).map_err(D::Error::custom);
        }
        let text = value::transcribe(deserializer)?;
        let text = RawValue::from_string(text).map_err(D::Error::custom)?;
        Ok(Payload(text))
    }
}
