//! Which sessions a command is about: a query in the search language, and a flag for each filter. The
//! flags come from the table of filters ([`crate::domain::filters`]).

use std::fmt::Write;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::actions::app::App;
use crate::actions::sessions::question;
use crate::cli::{Failure, misused};
use crate::domain::Timestamp;
use crate::domain::filters::{About, FilterSet, SEARCH_PEOPLE};
use crate::domain::listing::{EndedFilter, SessionFilter};
use crate::domain::query::{SessionQuery, words};

/// The id of the positional argument.
const QUERY: &str = "query";
const SEARCH: &str = "search";

/// The filters, each with its flag.
static FLAGS: LazyLock<Vec<(&'static About, String)>> =
    LazyLock::new(|| with_flags().map(|about| (about, flag_of(about))).collect());

/// The filters that have a flag: all but the one that the search language sets.
fn with_flags() -> impl Iterator<Item = &'static About> {
    SessionFilter::all().filter(|about| about.name != SEARCH_PEOPLE)
}

fn flag_of(about: &About) -> String {
    about.name.replace('_', "-")
}

/// The filters as they were written.
#[derive(Clone, Debug, Default)]
pub(super) struct FilterArgs {
    /// What was written without a flag: the query, or the sessions that are named.
    pub query: Vec<String>,
    search: Option<String>,
    flags: Vec<(&'static About, String)>,
}

impl Args for FilterArgs {
    fn augment_args(command: Command) -> Command {
        let query = Arg::new(QUERY).value_name("QUERY").num_args(0..).action(ArgAction::Append);
        let query = query.help("Which sessions, such as 'country:germany idle:>30d browser:firefox'");
        let search = Arg::new(SEARCH).long(SEARCH).value_name("TEXT");
        let search = search.help("Terms, each part of the username, e-mail address, full name, address or user agent");
        let flags = FLAGS.iter().map(|(about, flag)| {
            let arg = Arg::new(about.name).long(flag.as_str()).value_name(about.kind.placeholder());
            arg.help(about.help).help_heading("Filters").allow_hyphen_values(true)
        });
        command.arg(query).arg(search.help_heading("Filters")).args(flags).after_help(explanation())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FilterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let flag = |about: &'static About| Some((about, matches.get_one::<String>(about.name)?.clone()));
        Ok(Self {
            query: matches.get_many::<String>(QUERY).into_iter().flatten().cloned().collect(),
            search: matches.get_one::<String>(SEARCH).cloned(),
            flags: with_flags().filter_map(flag).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl FilterArgs {
    /// The filter of live sessions that they mean at `now`, before names are looked up.
    ///
    /// # Errors
    /// Wrong usage: a mistake in the query, a flag that does not take its value, or one filter said twice.
    pub fn read(&self, now: Timestamp) -> Result<SessionFilter, Failure> {
        self.with_flags(self.parse()?.filter(now).map_err(|mistakes| misused(mistakes.to_string()))?)
    }

    /// The filter of ended sessions that they mean at `now`.
    ///
    /// # Errors
    /// As for [`FilterArgs::read`].
    pub fn read_ended(&self, now: Timestamp) -> Result<EndedFilter, Failure> {
        let filter = self.parse()?.ended_filter(now).map_err(|mistakes| misused(mistakes.to_string()))?;
        Ok(EndedFilter { session: self.with_flags(filter.session)?, ..filter })
    }

    fn parse(&self) -> Result<SessionQuery, Failure> {
        let text = [self.query.join(" "), self.search.clone().unwrap_or_default()].join(" ");
        let query = SessionQuery::parse(&text);
        if query.spares_current() {
            return Err(misused("-current: a command has no session of its own; --except UUID leaves one out"));
        }
        Ok(query)
    }

    fn with_flags(&self, mut filter: SessionFilter) -> Result<SessionFilter, Failure> {
        for (about, value) in &self.flags {
            let flag = flag_of(about);
            if filter.show(about.name).is_some() {
                return Err(misused(format!("--{flag} and the query both say it: one of the two is enough")));
            }
            filter.set(about.name, value).map_err(|why| misused(format!("--{flag} {value}: {why}")))?;
        }
        Ok(filter)
    }

    /// Whether there is nothing but the positional arguments.
    pub fn has_no_flag(&self) -> bool {
        self.search.is_none() && self.flags.is_empty()
    }

    /// Looks the names of a filter up: browsers, systems and devices in any letter case, and the user, who must
    /// exist where only sessions of Rollcall are meant.
    ///
    /// # Errors
    /// Wrong usage for a user who does not exist; else when the database does not answer.
    pub async fn look_up(app: &App, filter: SessionFilter) -> Result<SessionFilter, Failure> {
        if !filter.is_of_rollcall() {
            return Ok(question::spelled(app, filter).await?);
        }
        if let Some(name) = &filter.username
            && app.store.read().find_user_by_name(name).await?.is_none()
        {
            return Err(misused(format!("there is no user named {name}")));
        }
        if let Some(id) = filter.user
            && app.store.read().find_user(id).await?.is_none()
        {
            return Err(misused(format!("there is no user with the primary key {}", id.0)));
        }
        Ok(question::spelled(app, filter).await?)
    }
}

/// The search language, for the end of the help.
fn explanation() -> String {
    let mut text = "QUERY is the language of the search box. Plain words are looked for in usernames, e-mail addresses and \
        full names of users, addresses and user agents; quotes keep words together. A word with a colon says what is meant:\n\n"
        .to_owned();
    for word in words() {
        let example = format!("{}:{}", word.key, word.example);
        let _ = writeln!(text, "  {example:22} {}", word.about);
    }
    text.push_str("\nWith a mistake in it a command does nothing. Exit code 3: nothing matched.");
    text
}
