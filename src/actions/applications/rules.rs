//! Path rules of a guard, changed one at a time. Their order matters: the first that fits decides.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::edit::edit;
use crate::actions::by::By;
use crate::domain::application::guard::PathRule;
use crate::domain::application::{Application, ApplicationRule};

/// A change of the rules. Places are counted from 1.
#[derive(Clone, Debug)]
pub enum RuleChange {
    /// A new rule at this place, or at the end.
    Add(PathRule, Option<usize>),
    /// Another rule at this place, then moved to the second place.
    Set(usize, PathRule, usize),
    /// The rule at the first place goes to the second.
    Move(usize, usize),
    /// The rule at this place goes.
    Remove(usize),
}

impl RuleChange {
    fn apply(self, application: &mut Application) -> Result<(), ApplicationRule> {
        let rules = &mut application.provider.as_mut().ok_or(ApplicationRule::NoGuard)?.guard.rules;
        let count = rules.len();
        let at = |number: usize, most: usize| {
            if (1..=most).contains(&number) { Ok(number - 1) } else { Err(ApplicationRule::NoRule(number)) }
        };
        match self {
            Self::Add(rule, None) => rules.push(rule),
            Self::Add(rule, Some(number)) => rules.insert(at(number, count + 1)?, rule),
            Self::Set(number, rule, to) => {
                let (from, to) = (at(number, count)?, at(to, count)?);
                rules.remove(from);
                rules.insert(to, rule);
            }
            Self::Move(number, to) => {
                let (from, to) = (at(number, count)?, at(to, count)?);
                let rule = rules.remove(from);
                rules.insert(to, rule);
            }
            Self::Remove(number) => drop(rules.remove(at(number, count)?)),
        }
        Ok(())
    }
}

/// Changes the rules of an application's guard, and gives the application. With a version
/// ([`Application::version`]), only if the application is still of that version.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`] without the application;
/// [`ActionError::Outdated`]; [`ActionError::Application`] for a place that there is not, and for a rule that breaks one.
pub async fn change(
    app: &App,
    by: By<'_>,
    slug: &str,
    expected: Option<String>,
    change: RuleChange,
) -> Result<Application, ActionError> {
    let changed = edit(app, by, slug, move |application| {
        if expected.is_some_and(|expected| expected != application.version()) {
            return Err(ActionError::Outdated);
        }
        Ok(change.apply(application)?)
    });
    changed.await
}
