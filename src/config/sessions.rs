//! `[sessions]`: how long sessions live, and how often they are written and swept.

use std::time::Duration;

use crate::config::kinds::{BOOL, DURATION, DURATION_ABOVE_ZERO};
use crate::config::section::{Kind, section};
use crate::domain::binding::{Bindings, GeoipBinding, MoveAction, NetworkBinding};
use crate::domain::policy::{AtLimit, Policy};

section! {
    /// How long sessions live, what ends them, and how often they are written and swept.
    pub struct SessionConfig [sessions] {
        /// A session that is not used for this long ends; 0: no idle timeout.
        idle_timeout: Duration = DURATION, default "12h";

        /// A session ends this long after its sign-in, used or not.
        absolute_timeout: Duration = DURATION_ABOVE_ZERO, default "14d";

        /// The absolute timeout of sessions with "stay signed in", which have no idle timeout; 0: not offered.
        remember_timeout: Duration = DURATION, default "30d";

        /// The most sessions that a user has at once; 0: no limit.
        ///
        /// Groups and users may have limits of their own (`rollcall policy`); the smallest wins.
        max_per_user: Option<u32> = COUNT, default "0";

        /// What happens to a sign-in above that limit: refuse it, ask the user which session to end, or end
        /// the oldest.
        at_limit: AtLimit = AT_LIMIT, default "end_oldest";

        /// A new password ends the user's other sessions.
        end_on_password_change: bool = BOOL, default "true";

        /// How long a re-authentication is valid for sensitive actions, such as setting a password.
        ///
        /// The sign-in itself counts as one.
        confirm_timeout: Duration = DURATION_ABOVE_ZERO, default "10m";

        /// Ending one's own other sessions from the pages needs a re-authentication, too.
        confirm_ends: bool = BOOL, default "false";

        /// What a session is bound to: the network where its user last authenticated, from coarse to fine.
        ///
        /// It needs `geoip.asn`. Private addresses, and those that the file does not know, never break a
        /// binding. docs/sessions.md has the rules.
        network_binding: NetworkBinding = NETWORK_BINDING, default "no_binding";

        /// What happens when a session is used from another network: log it, let the user confirm it at
        /// `/confirm`, or end the session.
        network_binding_action: MoveAction = MOVE_ACTION, default "end";

        /// What a session is bound to: the place where its user last authenticated, from coarse to fine.
        ///
        /// It needs `geoip.city`. Private addresses, and those that the file does not know, never break a
        /// binding. docs/sessions.md has the rules.
        geoip_binding: GeoipBinding = GEOIP_BINDING, default "no_binding";

        /// What happens when a session is used from another place: log it, let the user confirm it at
        /// `/confirm`, or end the session.
        geoip_binding_action: MoveAction = MOVE_ACTION, default "end";

        /// Signing in needs a second factor; users without one must add one first.
        require_factor: bool = BOOL, default "false";

        /// The shortest time between two writes of a session's `last_used`, `last_ip` and `last_user_agent`;
        /// 0: never written.
        ///
        /// With a short idle timeout they are written after a tenth of it, so that it stays exact to a tenth.
        touch_interval: Duration = DURATION, default "60s";

        /// The time between two sweeps, which move expired sessions to the history; 0: never.
        ///
        /// A session opens nothing from the moment it expires, swept or not.
        purge_interval: Duration = DURATION, default "60s";

        /// Sessions are kept in memory for lists and searches while there are no more than this; 0: never.
        ///
        /// This takes some 200 bytes for each session, from the first search on, or from the sixtieth list
        /// in a minute, until there was neither for 15 minutes; with 200,000 sessions or more from the start
        /// on. Otherwise the database answers, more slowly.
        index_limit: i64 = ROWS, default "4000000";
    }
}

const AT_LIMIT: Kind<AtLimit> = Kind::new("refuse, ask or end_oldest", AtLimit::parse);

const COUNT: Kind<Option<u32>> =
    Kind::new("a whole number, 0 for no limit", |text| text.parse().ok().map(|most: u32| Some(most).filter(|most| *most > 0)));

const GEOIP_BINDING: Kind<GeoipBinding> =
    Kind::new("no_binding, bind_continent, bind_continent_country or bind_continent_country_city", GeoipBinding::parse);

const MOVE_ACTION: Kind<MoveAction> = Kind::new("log, confirm or end", MoveAction::parse);

const NETWORK_BINDING: Kind<NetworkBinding> =
    Kind::new("no_binding, bind_asn, bind_asn_network or bind_asn_network_ip", NetworkBinding::parse);

const ROWS: Kind<i64> = Kind::new("a whole number, 0 or more", |text| text.parse().ok().filter(|limit| *limit >= 0));

impl SessionConfig {
    /// The instance's own policy, which those of groups and users may only tighten.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            idle_timeout: Some(self.idle_timeout).filter(|idle| !idle.is_zero()),
            absolute_timeout: Some(self.absolute_timeout),
            remember_timeout: Some(self.remember_timeout),
            max_sessions: self.max_per_user,
            at_limit: self.max_per_user.map(|_| self.at_limit),
            is_factor_required: self.require_factor,
        }
    }

    /// What sessions are bound to, and what happens when a binding breaks.
    #[must_use]
    pub fn bindings(&self) -> Bindings {
        Bindings {
            network: self.network_binding,
            network_action: self.network_binding_action,
            geoip: self.geoip_binding,
            geoip_action: self.geoip_binding_action,
        }
    }
}
