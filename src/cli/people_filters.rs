//! Which users or groups a command is about: a search, and a flag for each filter. The flags come from
//! the tables of filters ([`crate::domain::people_lists`]).

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::cli::{Failure, misused};
use crate::domain::filters::{About, FilterSet, Kind};
use crate::domain::people_lists::{GroupFilter, UserFilter};
use crate::domain::search::folded_terms;

const SEARCH: &str = "search";

/// The filters as they were written.
#[derive(Clone, Debug)]
pub(super) struct Filters<F> {
    search: Option<String>,
    flags: Vec<(&'static About, String)>,
    of: PhantomData<F>,
}

/// The filters that say which rows, and not what is shown of each.
fn rows_of<F: FilterSet>() -> impl Iterator<Item = &'static About> {
    F::all().filter(|about| !matches!(about.kind, Kind::Switch))
}

/// The flags of all filters, by name.
static FLAGS: LazyLock<HashMap<&'static str, String>> = LazyLock::new(|| {
    let names = UserFilter::all().chain(GroupFilter::all()).map(|about| about.name);
    names.map(|name| (name, name.replace('_', "-"))).collect()
});

fn flag_of(about: &About) -> &'static str {
    FLAGS.get(about.name).map_or(about.name, String::as_str)
}

impl<F: FilterSet> Args for Filters<F> {
    fn augment_args(command: Command) -> Command {
        let search = Arg::new(SEARCH).long(SEARCH).value_name("TEXT").help_heading("Filters");
        let flags = rows_of::<F>().map(|about| {
            let arg = Arg::new(about.name).long(flag_of(about)).value_name(about.kind.placeholder()).help(about.help);
            let action = if about.is_repeated { ArgAction::Append } else { ArgAction::Set };
            arg.action(action).help_heading("Filters").allow_hyphen_values(true)
        });
        command.arg(search.help("Words, each part of a name, an address or a uuid")).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<F: FilterSet> FromArgMatches for Filters<F> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let values = |about: &'static About| {
            let values = matches.get_many::<String>(about.name).into_iter().flatten().cloned();
            values.map(move |value| (about, value)).collect::<Vec<_>>()
        };
        let search = matches.get_one::<String>(SEARCH).cloned();
        Ok(Self { search, flags: rows_of::<F>().flat_map(values).collect(), of: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<F: FilterSet> Filters<F> {
    /// The filter they stand for.
    ///
    /// # Errors
    /// Wrong usage: a flag that does not take its value.
    pub fn read(&self) -> Result<F, Failure> {
        let mut filter = F::default();
        for (about, value) in &self.flags {
            filter.set(about.name, value).map_err(|why| misused(format!("--{} {value}: {why}", flag_of(about))))?;
        }
        let words = self.search.as_deref().unwrap_or_default().split_whitespace();
        *filter.search() = folded_terms(words).ok_or_else(|| misused("--search: too many words"))?;
        Ok(filter)
    }
}
