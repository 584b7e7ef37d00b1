//! How often somebody may guess, and how long links are good.

use std::time::Duration;

use crate::config::parse_duration;
use crate::config::sources::{ConfigError, Values};
use crate::domain::Rate;

/// How often somebody may guess, which is to give a wrong password or code (`None`: no limit), and how
/// long links are good.
#[derive(Clone, Copy, Debug)]
pub struct SignInConfig {
    /// For one name, whether somebody has it or not.
    pub account_limit: Option<Rate>,
    /// For one user, on one browser that they signed in with before; the other limits do not hold there.
    pub known_device_limit: Option<Rate>,
    /// From one address, or one IPv6 network of /64.
    pub address_limit: Option<Rate>,
    /// In all.
    pub instance_limit: Option<Rate>,
    /// How long a recovery link is good.
    pub link_timeout: Duration,
}

impl SignInConfig {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let rate = |key: &str, default: u32| -> Result<Option<Rate>, ConfigError> {
            let given = values.parse(key, "a number in a time such as 10/15m, or 0 for no limit", GivenRate::parse)?;
            Ok(given.map_or_else(|| Rate::new(default, Duration::from_secs(900)), |given| given.0))
        };
        let above_zero = |text: &str| parse_duration(text).filter(|duration| !duration.is_zero());
        Ok(Self {
            account_limit: rate("sign_in.account_limit", 10)?,
            known_device_limit: rate("sign_in.known_device_limit", 10)?,
            address_limit: rate("sign_in.address_limit", 50)?,
            instance_limit: rate("sign_in.instance_limit", 1000)?,
            link_timeout: values
                .parse("sign_in.link_timeout", "a duration above zero such as 30m", above_zero)?
                .unwrap_or(Duration::from_secs(1800)),
        })
    }
}

/// A limit that is given, or that there is none.
struct GivenRate(Option<Rate>);

impl GivenRate {
    /// `10/15m`: ten in fifteen minutes; `0`: no limit.
    fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self(None));
        }
        let (times, period) = text.split_once('/')?;
        Rate::new(times.trim().parse().ok()?, parse_duration(period.trim())?).map(|rate| Self(Some(rate)))
    }
}
