//! What pages of sessions show of the watched authentik: how old its copy is, and links to its own pages.

use std::time::Duration;

use crate::actions::app::App;
use crate::actions::watch::status::{self, CopyStatus};
use crate::config::SourceUrl;
use crate::domain::Timestamp;
use crate::domain::listing::SessionFilter;
use crate::domain::source::{CopyState, NAME, Origin};
use crate::store::watch::sources::SourceStatus;
use crate::store::{Db, StoreError};
use crate::ui::fleet::view::View;
use crate::ui::words::grouped;

/// The state of the copy in the head of a table.
pub(in crate::ui) struct CopyLine {
    /// Such as `as of 4 s ago · 98,412 of 98,430 copied`.
    pub text: String,
    /// Whether it is older than three polls.
    pub is_late: bool,
    /// Why, in a sentence, or `""`.
    pub why: String,
}

impl CopyLine {
    /// The line of a list; `None` for a list of Rollcall's own sessions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(app: &App, filter: &SessionFilter) -> Result<Option<Self>, StoreError> {
        if filter.is_of_rollcall() {
            return Ok(None);
        }
        let Some(found) = status::read(app).await? else {
            return Ok((filter.source == Some(Origin::Authentik)).then(|| Self {
                text: "no authentik was watched so far".into(),
                is_late: true,
                why: "Set authentik.url and authentik.token.".into(),
            }));
        };
        Ok(Some(Self::new(&found)))
    }

    /// The line of a copy in this state.
    pub fn new(found: &CopyStatus) -> Self {
        let status = &found.source.status;
        let age = found.age.map_or_else(|| "not complete so far".to_owned(), |age| format!("as of {} ago", short(age)));
        let is_late = found.is_late && status.state != CopyState::Copying;
        let text = format!("{age} · {} of {} copied", grouped(found.copied), grouped(status.total));
        Self { text, is_late, why: status.detail.clone() }
    }
}

/// A time in its largest unit: `4 s`, `3 min`, `2 h`, `5 d`.
fn short(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The pages of the watched authentik, and its clock.
pub(in crate::ui) struct SourcePages(SourceUrl, SourceStatus);

impl SourcePages {
    /// Those of the source; `None` when none was watched.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(db: &Db<'_>) -> Result<Option<Self>, StoreError> {
        let source = db.find_source(NAME).await?;
        Ok(source.and_then(|source| Some(Self(SourceUrl::parse(&source.url)?, source.status))))
    }

    /// By Rollcall's clock, a time that authentik told by its own.
    pub fn by_our_clock(&self, at: Timestamp) -> Timestamp {
        self.1.by_our_clock(at)
    }

    /// A user's page for administrators there. Nothing but the number is added to the address of the settings.
    pub fn user(&self, pk: i64) -> String {
        format!("{}/if/admin/#/identity/users/{pk}", self.0.origin())
    }
}

/// A choice of where the listed sessions live.
pub(in crate::ui) struct OriginLink {
    pub title: &'static str,
    pub url: String,
    pub is_on: bool,
}

/// The same search among sessions that live elsewhere; none where nothing is watched.
pub(in crate::ui) fn origins(app: &App, view: &View) -> Vec<OriginLink> {
    let now = view.query.origin().unwrap_or(Origin::Rollcall);
    if app.watched.is_none() && now == Origin::Rollcall {
        return Vec::new();
    }
    let link = |origin: Origin| {
        let title = match origin {
            Origin::Rollcall => "Rollcall",
            Origin::Authentik => NAME,
            Origin::All => "Both",
        };
        OriginLink { title, url: view.url_of_origin(origin), is_on: origin == now }
    };
    Origin::ALL.map(link).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        for (seconds, words) in [(0, "0 s"), (4, "4 s"), (119, "119 s"), (180, "3 min"), (7_300, "2 h"), (200_000, "2 d")] {
            assert_eq!(short(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_users_page_is_on_the_host_of_the_settings() {
        let pages = SourcePages(SourceUrl::parse("https://auth.example.com").unwrap(), SourceStatus::default());
        assert_eq!(pages.user(7), "https://auth.example.com/if/admin/#/identity/users/7");
    }
}
