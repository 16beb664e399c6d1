//! Frames as maps whose field `t` names their type.

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::NUMBER_MAX;

/// A frame type that is told apart by its `t`.
pub(crate) trait Tagged: Sized {
    /// Reads the fields of the frame that `t` names; `None` where no frame is called that.
    fn read<'de, D: Deserializer<'de>>(t: &str, fields: D) -> Option<Result<Self, D::Error>>;
}

/// Defines an enum of frames, each with the `t` that it bears on the wire.
///
/// A derived `#[serde(tag = "t")]` would read a frame into a buffer of generic values first, and so
/// lose the text of payloads; this reads the fields of the one frame that `t` names.
macro_rules! frames {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $t:literal $variant:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        })*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(tag = "t")]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $t)] $variant {
                $($(#[$field_meta])* $field: $type,)*
            },)*
        }

        impl $crate::wire::Tagged for $name {
            fn read<'de, D: serde::Deserializer<'de>>(
                t: &str,
                fields: D,
            ) -> Option<Result<Self, D::Error>> {
                use serde::Deserialize;
                match t {
                    $($t => {
                        #[derive(Deserialize)]
                        struct Fields {
                            $($(#[$field_meta])* $field: $type,)*
                        }
                        Some(Fields::deserialize(fields).map(|fields| {
                            let Fields { $($field),* } = fields;
                            $name::$variant { $($field),* }
                        }))
                    })*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use frames;

/// The number of an action: a whole number from 1 to [`NUMBER_MAX`].
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let n = u64::deserialize(deserializer)?;
    if (1..=NUMBER_MAX).contains(&n) {
        return Ok(n);
    }
    Err(D::Error::custom(format_args!(
        "`n` is a whole number from 1 to {NUMBER_MAX}, not {n}"
    )))
}
