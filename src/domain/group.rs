//! Groups: what they may be called, and how they nest.

use crate::domain::names::{self, NameRule};

/// The longest name of a group, in characters.
pub const MAX_GROUP_NAME_LENGTH: usize = 150;
/// The most levels of groups within groups.
pub const MAX_LEVELS: i64 = 16;

/// Why a group was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRule {
    /// No name, or only blanks.
    #[error("a group has a name")]
    EmptyName,
    /// Too long.
    #[error("the name of a group has at most {MAX_GROUP_NAME_LENGTH} characters")]
    LongName,
    /// A name with a character that no name may hold.
    #[error("a name may not be so: {0}")]
    Name(#[from] NameRule),
    /// A parent that is the group itself or within it.
    #[error("a group cannot be within itself")]
    Cycle,
    /// Too many levels.
    #[error("groups nest at most {MAX_LEVELS} levels deep")]
    Depth,
}

/// The name of a group as it is stored: [tidy](names::tidy), 1 to 150 characters.
///
/// # Errors
/// The rule it breaks.
pub fn check_group_name(name: &str) -> Result<String, GroupRule> {
    let name = names::tidy(name)?;
    if name.is_empty() {
        return Err(GroupRule::EmptyName);
    }
    if name.chars().count() > MAX_GROUP_NAME_LENGTH { Err(GroupRule::LongName) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_names_in_any_script() {
        for good in ["staff", "Zürich / IT", "用户", "אנשים"] {
            assert_eq!(check_group_name(good).as_deref(), Ok(good));
        }
        assert_eq!(check_group_name(" staff ").as_deref(), Ok("staff"));
        assert_eq!(check_group_name(" "), Err(GroupRule::EmptyName));
        assert_eq!(check_group_name(&"x".repeat(151)), Err(GroupRule::LongName));
        assert!(matches!(check_group_name("sta\u{200b}ff"), Err(GroupRule::Name(_))));
    }
}
