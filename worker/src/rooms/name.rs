use crate::Refusal;

/// The longest name, in characters.
pub(super) const NAME_MAX: usize = 40;

/// Refuses a name that a member cannot be called.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let length = name.chars().count();
    if !(1..=NAME_MAX).contains(&length) || name.chars().any(char::is_control) {
        let message =
            format!("a name has 1 to {NAME_MAX} characters, none of them a control character");
        return Err(Refusal::new("bad_name", message));
    }
    Ok(())
}
