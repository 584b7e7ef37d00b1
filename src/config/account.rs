//! `[account]`: what users may do with their own account.

use crate::config::kinds::BOOL;
use crate::config::section::{Kind, section};
use crate::domain::user::OwnRemoval;

section! {
    /// What users may do with their own account, at `/account`.
    pub struct AccountConfig [account] {
        /// Users may change their own e-mail address, after a re-authentication.
        ///
        /// The new address is not verified. Turn it off where apps know people by an address that Rollcall
        /// sends them.
        change_email: bool = BOOL, default "true";

        /// What happens when users want their account removed: an administrator is asked, it is erased at
        /// once after a re-authentication, or users cannot ask.
        ///
        /// Erased at once, a user is gone from the events, too (docs/privacy.md).
        removal: OwnRemoval = OWN_REMOVAL, default "ask";
    }
}

const OWN_REMOVAL: Kind<OwnRemoval> = Kind::new("ask, at_once or off", OwnRemoval::parse);
