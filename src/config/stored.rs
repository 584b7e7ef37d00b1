//! What is stored in the database and holds where no setting is given.

use std::time::Duration;

use crate::config::{Config, SessionConfig};
use crate::domain::policy::{Policy, StoredLimits};

impl Config {
    /// The sessions' settings, with the limits that are stored in the database where no setting gives them.
    #[must_use]
    pub fn sessions_with(&self, stored: &StoredLimits) -> SessionConfig {
        let mut sessions = self.sessions.clone();
        let is_free = |path: &str| self.source_of(path).is_none();
        if let Some(idle) = stored.idle_timeout.filter(|_| is_free("sessions.idle_timeout")) {
            sessions.idle_timeout = idle;
        }
        if let Some(absolute) = stored.absolute_timeout.filter(|_| is_free("sessions.absolute_timeout")) {
            sessions.absolute_timeout = absolute;
        }
        if let Some(remember) = stored.remember_timeout.filter(|_| is_free("sessions.remember_timeout")) {
            sessions.remember_timeout = remember;
        }
        if let Some(most) = stored.max_sessions.filter(|_| is_free("sessions.max_per_user")) {
            sessions.max_per_user = Some(most).filter(|most| *most > 0);
        }
        if let Some(outcome) = stored.at_limit.filter(|_| is_free("sessions.at_limit")) {
            sessions.at_limit = outcome;
        }
        if let Some(network) = stored.network_binding.filter(|_| is_free("sessions.network_binding")) {
            sessions.network_binding = network;
        }
        if let Some(geoip) = stored.geoip_binding.filter(|_| is_free("sessions.geoip_binding")) {
            sessions.geoip_binding = geoip;
        }
        sessions
    }

    /// How long a browser stays known: the setting, and where it is not given, what is stored in the database.
    #[must_use]
    pub fn known_device_lifetime(&self, stored: &StoredLimits) -> Duration {
        let stored = stored.known_device_lifetime.filter(|_| self.source_of("sign_in.known_device_lifetime").is_none());
        stored.unwrap_or(self.sign_in.known_device_lifetime)
    }

    /// The policy of the instance: settings, and where none is given, what is stored in the database.
    #[must_use]
    pub fn policy(&self, stored: &StoredLimits) -> Policy {
        self.sessions_with(stored).policy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::load;
    use crate::domain::binding::NetworkBinding;

    #[test]
    fn stored_limits_hold_where_no_setting_is_given() {
        let stored = StoredLimits {
            idle_timeout: Some(Duration::from_secs(60)),
            absolute_timeout: Some(Duration::from_secs(3600)),
            max_sessions: Some(0),
            network_binding: Some(NetworkBinding::Asn),
            known_device_lifetime: Some(Duration::from_secs(60)),
            ..StoredLimits::default()
        };
        let config = load(&[("ROLLCALL_SESSIONS__IDLE_TIMEOUT", "30m"), ("ROLLCALL_SESSIONS__MAX_PER_USER", "3")]).unwrap();
        let policy = config.policy(&stored);
        assert_eq!(policy.idle_timeout, Some(Duration::from_secs(1800)), "the environment is stronger");
        assert_eq!(policy.absolute_timeout, Some(Duration::from_secs(3600)));
        assert_eq!(policy.max_sessions, Some(3));
        assert_eq!(policy.remember_timeout, Some(Duration::from_secs(30 * 86400)), "what is built in");
        assert_eq!(load(&[]).unwrap().policy(&stored).max_sessions, None, "0 is stored as no limit");
        assert_eq!(config.source_of("sessions.idle_timeout"), Some("ROLLCALL_SESSIONS__IDLE_TIMEOUT"));
        assert_eq!(config.policy(&StoredLimits::default()), config.sessions.policy());
        assert_eq!(config.sessions_with(&stored).network_binding, NetworkBinding::Asn);
        assert_eq!(config.known_device_lifetime(&stored), Duration::from_secs(60));
        let names = ["ROLLCALL_SESSIONS__NETWORK_BINDING", "ROLLCALL_SIGN_IN__KNOWN_DEVICE_LIFETIME"];
        let config = load(&[(names[0], "no_binding"), (names[1], "1d")]).unwrap();
        assert_eq!(config.sessions_with(&stored).network_binding, NetworkBinding::None);
        assert_eq!(config.known_device_lifetime(&stored), Duration::from_secs(86400));
    }
}
