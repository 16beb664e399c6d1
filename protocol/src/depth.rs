//! The depth to which a message nests, measured before anything is built from it.

use crate::DEPTH_MAX;

/// True if a JSON text opens more than [`DEPTH_MAX`] arrays and objects within each other.
/// Meaningless, but harmless, for a text that is not JSON.
pub(crate) fn json_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_counts_brackets_outside_strings_only() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(!json_too_deep(&nested(DEPTH_MAX)));
        assert!(json_too_deep(&nested(DEPTH_MAX + 1)));
        assert!(!json_too_deep(&format!("\"{}\"", "[\\\"".repeat(1000))));
        assert!(!json_too_deep(&"[],".repeat(1000)));
    }
}
