//! `[sign_in]`: how often somebody may guess, and how long links are valid.

use std::time::Duration;

use crate::config::kinds::{DURATION, DURATION_ABOVE_ZERO, parse_duration};
use crate::config::section::{Kind, section};
use crate::domain::Rate;

section! {
    /// How many wrong passwords and codes are checked before more are refused, and how long links are valid.
    pub struct SignInConfig [sign_in] {
        /// Wrong passwords for one name, and wrong proofs at `/confirm` for one session.
        ///
        /// 10/15m is ten at once, and then one every minute and a half. Right ones do not count. The limit
        /// is the same for names that no user has.
        account_limit: Option<Rate> = RATE, default "10/15m";

        /// Wrong passwords of one user in one browser that they signed in with before; wrong codes of a
        /// second factor in all of those together.
        ///
        /// No other limit counts there, so that strangers who guess lock nobody out of their own browser.
        known_device_limit: Option<Rate> = RATE, default "10/15m";

        /// How long a browser stays known in which its user does not sign in; 0: no browser is known.
        ///
        /// Browsers keep a cookie for 400 days at most.
        known_device_lifetime: Duration = DURATION, default "400d";

        /// Wrong passwords and codes from one address, or from one IPv6 network of /64.
        address_limit: Option<Rate> = RATE, default "50/15m";

        /// Wrong passwords and codes in all.
        instance_limit: Option<Rate> = RATE, default "1000/15m";

        /// How long a recovery link is valid, with which a user sets a password once.
        link_timeout: Duration = DURATION_ABOVE_ZERO, default "30m";

        /// The longest time that a recovery link may be made for through the API (`token_duration`).
        link_timeout_max: Duration = DURATION_ABOVE_ZERO, default "7d";

        /// What the sign-in page says to those who forgot their password.
        ///
        /// One line of text without markup; an empty one says nothing.
        help: String = LINE, default "Forgot your password? An administrator can send you a link to set a new one.";
    }
}

const LINE: Kind<String> = Kind::new("one line of at most 500 characters", |text| {
    let is_line = text.chars().count() <= 500 && !text.chars().any(char::is_control);
    is_line.then(|| text.trim().to_owned())
});

const RATE: Kind<Option<Rate>> = Kind::new("a number in a time such as 10/15m, or 0 for no limit", |text| {
    if text == "0" {
        return Some(None);
    }
    let (times, period) = text.split_once('/')?;
    Rate::new(times.trim().parse().ok()?, parse_duration(period.trim())?).map(Some)
});
