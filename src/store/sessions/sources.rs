//! What a filter of ended sessions can be read from: which of its parts have an index, and which one is read.

use uuid::Uuid;

use crate::domain::listing::EndedFilter;
use crate::domain::search::could_be_address;
use crate::domain::source::{NAME, Origin};
use crate::store::people::texts::{FOLDED, UserTexts};
use crate::store::sessions::agent_texts::AgentTexts;
use crate::store::timeline::Timeline;
use crate::store::timeline::parts::{MOST_BRANCHES, Parts};
use crate::store::timeline::text::Text;
use crate::store::{CountKey, Db, StoreError, Value};

/// Up to this number of users with a word, a condition on a row names them; else it looks at the user of each row.
const MOST_NAMED: usize = 256;

/// Up to this number of users with a word, their ended sessions are read by the index of users. Where there are more, the
/// page is full after few rows of the whole history.
const MOST_LISTED: usize = 1_024;

/// Ended sessions in the order of their end.
static ENDED: Timeline = Timeline { table: "ended_sessions", row: "s", at: "ended_at" };

/// The texts in memory that a search looks at.
#[derive(Clone, Copy)]
pub(in crate::store) struct Texts<'a> {
    pub users: &'a UserTexts,
    pub agents: &'a AgentTexts,
}

/// The parts of a filter of ended sessions.
pub(in crate::store) struct Sources {
    pub parts: Parts,
    /// The counter that holds the number of matches, times of ends left aside.
    pub counted: Option<CountKey>,
}

impl Db<'_> {
    /// The parts of a filter. `None`: nothing can match.
    pub(in crate::store) async fn ended_sources(
        &self,
        filter: &EndedFilter,
        texts: Texts<'_>,
    ) -> Result<Option<Sources>, StoreError> {
        let session = &filter.session;
        let mut all = Parts::of(&ENDED);
        // A session ends after its last use.
        all.bound(">=", [filter.ended_gte, session.last_used_gte].into_iter().flatten().max());
        all.bound("<=", filter.ended_lte);
        let mut user: Option<Uuid> = None;
        match session.source {
            None | Some(Origin::All) => {}
            Some(Origin::Rollcall) => all.check("s.source_id IS NULL", []),
            Some(Origin::Authentik) => {
                let Some(source) = self.find_source(NAME).await? else { return Ok(None) };
                all.equal("s.source_id = ?", source.id.0);
                if let Some(pk) = session.user.filter(|_| session.visible_to.is_none()) {
                    all.equal("s.user_uuid = ?", source.user_uuid(pk.0));
                }
            }
        }
        let named = session.user.filter(|_| session.source != Some(Origin::Authentik));
        for id in [session.visible_to, named].into_iter().flatten() {
            // History names users by uuid. The key of a filter names the user who has it now.
            let Some(uuid) = self.find_user_uuid(id).await? else { return Ok(None) };
            if user.is_some_and(|other| other != uuid) {
                return Ok(None);
            }
            user = Some(uuid);
        }
        if let Some(uuid) = user {
            all.equal("s.user_uuid = ?", uuid);
        }
        let is_of_user_at_most = EndedFilter {
            session: crate::domain::listing::SessionFilter {
                visible_to: session.visible_to,
                user: session.user,
                source: session.source.filter(|origin| *origin == Origin::All),
                ..Default::default()
            },
            ended_gte: filter.ended_gte,
            ended_lte: filter.ended_lte,
            ..EndedFilter::default()
        };
        let is_counted = *filter == is_of_user_at_most && all.bounds.sql.is_empty();
        if let Some(username) = &session.username {
            all.equal("s.username = ?", username);
        }
        if let Some(text) = &session.user_agent {
            let Some(id) = self.find_user_agent_id(text).await? else { return Ok(None) };
            all.equal("s.user_agent_id = ?", id);
        }
        if let Some(ip) = session.last_ip {
            all.equal("s.last_ip_key = ?", ip.sort_key());
        }
        if let Some(asn) = session.asn {
            all.equal("s.asn = ?", asn);
        }
        if let Some(name) = &filter.ended_by {
            all.equal("s.ended_by_name = ?", name);
        }
        if let Some(country) = &session.country {
            all.equal("s.country = ?", country);
        }
        if let Some(reason) = filter.reason {
            all.equal("s.reason = ?", reason.as_str());
        }
        if let Some(network) = session.network {
            let (low, high) = network.key_range();
            all.span("ended_sessions_by_last_ip", "s.last_ip_key BETWEEN ? AND ?", [low.into(), high.into()]);
        }
        self.add_families(filter, &mut all).await?;
        Self::add_times(filter, &mut all);
        if let Some(method) = session.methods {
            // Stored methods are separated by blanks.
            all.check(self.contains("' ' || s.methods || ' '"), [format!(" {} ", method.as_str()).into()]);
        }
        if let Some(except) = session.except {
            all.check("s.uuid <> ?", [except.into()]);
        }
        if !session.search.is_empty() {
            texts.users.refresh(self).await?;
        }
        for term in &session.search {
            self.add_term(term, texts, &mut all).await?;
        }
        Ok(Some(Sources { parts: all, counted: is_counted.then(|| counter(user)) }))
    }

    /// Browser, system and device: by the user agents that have them.
    async fn add_families(&self, filter: &EndedFilter, all: &mut Parts) -> Result<(), StoreError> {
        let session = &filter.session;
        for (column, family) in [("browser", &session.browser), ("os", &session.os), ("device", &session.device)] {
            let Some(family) = family else { continue };
            let sql = format!("SELECT id FROM user_agents WHERE {column} = $1 LIMIT {}", MOST_BRANCHES + 1);
            let agents: Vec<i64> = self.all(&sql, &[family.into()]).await?;
            let row = Text::new(format!("(SELECT {column} FROM user_agents WHERE id = s.user_agent_id) = ?"), [family.into()]);
            all.any_of(row, agents.into_iter().map(of_agent).collect());
        }
        Ok(())
    }

    fn add_times(filter: &EndedFilter, all: &mut Parts) {
        let session = &filter.session;
        match (session.last_used_gte, session.last_used_lte) {
            (Some(from), Some(to)) => {
                all.span("ended_sessions_by_last_use", "s.last_used_at BETWEEN ? AND ?", [from.into(), to.into()]);
            }
            (Some(from), None) => all.check("s.last_used_at >= ?", [from.into()]),
            (None, Some(to)) => all.check("s.last_used_at <= ?", [to.into()]),
            (None, None) => {}
        }
        let others = [
            ("s.created_at <= ?", session.created_lte),
            ("s.expires_at >= ?", session.expires_gte),
            ("s.expires_at <= ?", session.expires_lte),
        ];
        for (sql, at) in others {
            if let Some(at) = at {
                all.check(sql, [at.into()]);
            }
        }
    }

    /// A word: part of the username then, of the user's name or e-mail address now, of the user agent or of the address.
    async fn add_term(&self, term: &str, texts: Texts<'_>, all: &mut Parts) -> Result<(), StoreError> {
        let holds = |text: &str| self.contains(text);
        let is_address = is_part_of_address(term);
        let mut row = Text::new(holds("s.username_folded"), [term.into()]);
        if is_address {
            row.or(&holds("upper(s.last_ip)"), [term.into()]);
        }
        let agent = format!("(SELECT {} FROM user_agents WHERE id = s.user_agent_id)", holds("text_folded"));
        row.or(&agent, [term.into()]);
        match texts.users.uuids_of_today(term, MOST_NAMED) {
            Some(users) if users.is_empty() => {}
            Some(users) => {
                let users = of_users(users);
                row.or(&users.sql, users.values);
            }
            None => {
                let any = FOLDED.map(holds).join(" OR ");
                let sql = format!("EXISTS (SELECT 1 FROM users u WHERE u.uuid = s.user_uuid AND ({any}))");
                row.or(&sql, vec![Value::from(term); FOLDED.len()]);
            }
        }
        let mut branches = Vec::new();
        if !is_address {
            let agents = texts.agents.find(self, term, MOST_BRANCHES + 1).await?;
            branches.extend(agents.into_iter().map(of_agent));
            let users = texts.users.uuids_with(term, MOST_LISTED + 1);
            if branches.is_empty() && (MOST_BRANCHES + 1..=MOST_LISTED).contains(&users.len()) {
                all.among("ended_sessions_by_user", Text::new(format!("({})", row.sql), row.values), of_users(users));
                return Ok(());
            }
            branches.extend(users.into_iter().map(|uuid| Text::new("s.user_uuid = ?", [uuid.into()])));
            if branches.is_empty() {
                branches.push(Text::new("1 = 0", []));
            }
        }
        all.any(Text::new(format!("({})", row.sql), row.values), branches);
        Ok(())
    }

    /// SQL: whether a text contains the value.
    fn contains(&self, text: &str) -> String {
        format!("{}({text}, ?) > 0", if self.is_sqlite() { "instr" } else { "strpos" })
    }
}

/// The rows of any of these users. It has few shapes, each of which is prepared once.
fn of_users(mut users: Vec<Uuid>) -> Text {
    let last = users.last().copied().unwrap_or_default();
    users.resize(users.len().next_power_of_two(), last);
    let places = vec!["?"; users.len()].join(", ");
    Text::new(format!("s.user_uuid IN ({places})"), users.into_iter().map(Value::from).collect::<Vec<_>>())
}

fn of_agent(id: i64) -> Text {
    Text::new("s.user_agent_id = ?", [id.into()])
}

/// Whether a word is looked for in addresses: with a dot or a colon, or of digits alone. A word such as `fade`
/// could be part of an IPv6 address too, but is meant as a name.
pub(in crate::store) fn is_part_of_address(term: &str) -> bool {
    could_be_address(term) && (term.contains(['.', ':']) || term.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a counter holds of a filter.
fn counter(user: Option<Uuid>) -> CountKey {
    user.map_or(CountKey::Ended, CountKey::EndedOfUser)
}
