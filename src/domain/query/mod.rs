//! The search language: `user:alice country:germany idle:>30d -current`, and plain words.
//!
//! The search box of the page of all sessions and the command line read it. A key is a word of
//! [`crate::domain::filters`] or one of `TIMES`; both are explained by [`words`]. Some keys are about ended
//! sessions only, such as `reason:`. A mistake is said in a sentence. What was understood can still be shown ([`SessionQuery::understood`]), but sessions end only
//! by a query without a mistake ([`SessionQuery::filter`]).

mod days;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::filters::{ENDED, FilterSet, Word};
use crate::domain::listing::{EndedFilter, SessionFilter};
pub use crate::domain::query::days::{Day, Days, Limit};
use crate::domain::query::read::{read, split, unquoted};
use crate::domain::search::{MAX_TERMS, folded_terms};
use crate::domain::source::Origin;

/// The most tokens that are read.
const MAX_TOKENS: usize = 40;

/// A query, token by token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionQuery {
    /// In the order they were typed.
    pub tokens: Vec<Token>,
}

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it means; `Err`: what is wrong with it, in a sentence.
    pub meaning: Result<Meaning, String>,
    /// As it was typed.
    pub text: String,
}

/// What a token asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// A text that must be part of the username, the address or the user agent, or of the e-mail address or the full name
    /// that the user has now.
    Words(String),
    /// A value of a filter of [`crate::domain::filters::SESSIONS`] or [`crate::domain::filters::ENDED`].
    Filter {
        /// The filter's name.
        name: &'static str,
        /// A value that it takes.
        value: String,
    },
    /// Not used for this long, or longer.
    IdleOver(Duration),
    /// Used within this time.
    IdleUnder(Duration),
    /// Ends within this time.
    EndsWithin(Duration),
    /// Does not end within this time.
    EndsAfter(Duration),
    /// Last used on these days.
    Used(Days),
    /// Signed in before these days were over, and used on them or later.
    Active(Days),
    /// Ended on these days.
    Ended(Days),
    /// All but the session that asks.
    NotCurrent,
}

/// The keys whose values depend on the time of the question.
const TIMES: [Word; 5] = [
    Word { key: "idle", example: ">30d", about: "not used for that long; <1h: used within it; s, m, h, d, w" },
    Word { key: "ends", example: "<1h", about: "ends within it; >7d: does not" },
    Word {
        key: "used",
        example: "yesterday",
        about: "last used on that day in UTC: today, yesterday, 2026-11-01, >DAY, <DAY, DAY..DAY",
    },
    Word {
        key: "active",
        example: "yesterday",
        about: "signed in by the end of that day, and used on it or later; days as for used",
    },
    Word { key: "ended", example: "today", about: "ended on that day, as for used" },
];

impl Meaning {
    /// Whether only ended sessions can match it.
    fn is_of_ended(&self) -> bool {
        match self {
            Self::Ended(_) => true,
            Self::Filter { name, .. } => ENDED.iter().any(|filter| filter.about.name == *name),
            _ => false,
        }
    }
}

/// Every key of the language once, with an example and what it says.
pub fn words() -> impl Iterator<Item = Word> {
    let keys: Vec<Word> = EndedFilter::all().flat_map(|about| about.words).copied().chain(TIMES).collect();
    let is_first = |at: usize| keys.iter().position(|word| Some(word.key) == keys.get(at).map(|word| word.key)) == Some(at);
    let first: Vec<Word> = keys.iter().enumerate().filter(|(at, _)| is_first(*at)).map(|(_, word)| *word).collect();
    first.into_iter()
}

/// Why a query cannot be used: each mistake in a sentence, and what was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// What is wrong, each in a sentence.
    pub sentences: Vec<String>,
    /// The tokens that were understood, as they were typed; `""`: none.
    pub understood: String,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentences.join(" "))?;
        match self.understood.as_str() {
            "" => f.write_str(" Nothing else was in the search."),
            text => write!(f, " The rest was understood: “{text}”."),
        }
    }
}

impl std::error::Error for Mistakes {}

impl SessionQuery {
    /// Reads a query.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for text in split(text) {
            if query.tokens.len() == MAX_TOKENS {
                query.tokens.push(Token { text, meaning: Err(format!("More than {MAX_TOKENS} parts: the rest is left out.")) });
                break;
            }
            let mut meaning = read(&text);
            match &meaning {
                Ok(Meaning::Words(_)) if query.terms().count() == MAX_TERMS => {
                    meaning = Err(format!("“{text}” is one word too many: at most {MAX_TERMS} are searched for."));
                }
                Ok(Meaning::Words(_)) | Err(_) => {}
                Ok(known) if query.meanings().any(|other| is_same_field(other, known)) => {
                    meaning = Err(format!("“{text}” comes second: a session has only one of these, and the first one counts."));
                }
                Ok(_) => {}
            }
            query.tokens.push(Token { meaning, text });
        }
        query
    }

    fn meanings(&self) -> impl Iterator<Item = &Meaning> {
        self.tokens.iter().filter_map(|token| token.meaning.as_ref().ok())
    }

    /// The filter of live sessions that the query means at `now`; families are as typed
    /// ([`crate::actions::sessions::question::spelled`] corrects their letter case).
    ///
    /// # Errors
    /// [`Mistakes`] when a part of it was not understood, or is about ended sessions: what is left would match more
    /// than was meant.
    pub fn filter(&self, now: Timestamp) -> Result<SessionFilter, Mistakes> {
        let wrong = |token: &Token| match &token.meaning {
            Ok(meaning) if meaning.is_of_ended() => Some(format!(
                "“{}” is about ended sessions; this is a search of live ones (ended ones: the list Ended, or --ended).",
                token.text
            )),
            Ok(_) => None,
            Err(sentence) => Some(sentence.clone()),
        };
        match self.mistakes_by(wrong) {
            Some(mistakes) => Err(mistakes),
            None => Ok(self.understood(now)),
        }
    }

    /// The filter of ended sessions that the query means at `now`.
    ///
    /// # Errors
    /// [`Mistakes`] when a part of it was not understood.
    pub fn ended_filter(&self, now: Timestamp) -> Result<EndedFilter, Mistakes> {
        match self.mistakes() {
            Some(mistakes) => Err(mistakes),
            None => Ok(self.ended_understood(now)),
        }
    }

    /// Whether only ended sessions can match it: it has a word such as `reason:`.
    #[must_use]
    pub fn is_of_ended(&self) -> bool {
        self.meanings().any(Meaning::is_of_ended)
    }

    /// Where it says that the sessions live.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.meanings().find_map(|meaning| match meaning {
            Meaning::Filter { name: "source", value } => Origin::parse(value),
            _ => None,
        })
    }

    /// Its text with this in place of what it says of where the sessions live; nothing for those of Rollcall.
    #[must_use]
    pub fn with_origin(&self, origin: Origin) -> String {
        let is_origin = |token: &&Token| matches!(&token.meaning, Ok(Meaning::Filter { name: "source", .. }));
        let rest = self.tokens.iter().filter(|token| !is_origin(token)).map(|token| token.text.clone());
        let wanted = (origin != Origin::Rollcall).then(|| token("source", origin.as_str()));
        rest.chain(wanted).collect::<Vec<_>>().join(" ")
    }

    /// Its text without the words that only ended sessions have.
    #[must_use]
    pub fn of_live(&self) -> String {
        let is_of_live = |token: &&Token| !token.meaning.as_ref().is_ok_and(Meaning::is_of_ended);
        let texts: Vec<&str> = self.tokens.iter().filter(is_of_live).map(|token| token.text.as_str()).collect();
        texts.join(" ")
    }

    /// What is wrong with it, if anything is.
    #[must_use]
    pub fn mistakes(&self) -> Option<Mistakes> {
        self.mistakes_by(|token| token.meaning.clone().err())
    }

    fn mistakes_by(&self, wrong: impl Fn(&Token) -> Option<String>) -> Option<Mistakes> {
        let sentences: Vec<String> = self.tokens.iter().filter_map(&wrong).collect();
        let understood = self.tokens.iter().filter(|token| wrong(token).is_none()).map(|token| token.text.as_str());
        (!sentences.is_empty()).then(|| Mistakes { sentences, understood: understood.collect::<Vec<_>>().join(" ") })
    }

    /// The same without one token.
    #[must_use]
    pub fn without(&self, at: usize) -> String {
        let rest = self.tokens.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, token)| token.text.as_str());
        rest.collect::<Vec<_>>().join(" ")
    }

    /// The same with one more token, which replaces those of its field.
    #[must_use]
    pub fn with(&self, text: &str) -> String {
        let new = read(text).ok();
        let is_kept = |token: &&Token| match (&token.meaning, &new) {
            (Ok(old), Some(new)) => matches!(new, Meaning::Words(_)) || !is_same_field(old, new),
            _ => true,
        };
        let kept = self.tokens.iter().filter(is_kept).map(|token| token.text.as_str());
        kept.chain([text]).collect::<Vec<_>>().join(" ")
    }

    /// The days on which it says that the sessions were used.
    #[must_use]
    pub fn days_of_use(&self) -> Option<Days> {
        self.meanings().find_map(|meaning| match meaning {
            Meaning::Active(days) | Meaning::Used(days) => Some(*days),
            _ => None,
        })
    }

    /// Whether it asks for all but the session that asks.
    #[must_use]
    pub fn spares_current(&self) -> bool {
        self.tokens.iter().any(|token| token.meaning == Ok(Meaning::NotCurrent))
    }

    /// The filter that the understood part of the query means at `now`: for showing sessions, never
    /// for ending them.
    #[must_use]
    pub fn understood(&self, now: Timestamp) -> SessionFilter {
        self.ended_understood(now).session
    }

    /// The same for ended sessions.
    #[must_use]
    pub fn ended_understood(&self, now: Timestamp) -> EndedFilter {
        let mut ended = EndedFilter::default();
        for meaning in self.meanings() {
            if let Meaning::Filter { name, value } = meaning {
                // It took this value when the token was read.
                let _ = ended.set(name, value);
                continue;
            }
            let filter = &mut ended.session;
            match meaning {
                Meaning::Words(_) | Meaning::NotCurrent | Meaning::Filter { .. } => {}
                Meaning::Ended(days) => (ended.ended_gte, ended.ended_lte) = days.bounds(now),
                Meaning::IdleOver(time) => filter.last_used_lte = Some(earlier(filter.last_used_lte, now.minus(*time))),
                Meaning::IdleUnder(time) => filter.last_used_gte = Some(later(filter.last_used_gte, now.minus(*time))),
                Meaning::EndsWithin(time) => filter.expires_lte = Some(now.plus(*time)),
                Meaning::EndsAfter(time) => filter.expires_gte = Some(now.plus(*time)),
                Meaning::Active(days) => {
                    let (from, to) = days.bounds(now);
                    filter.last_used_gte = from.map(|from| later(filter.last_used_gte, from)).or(filter.last_used_gte);
                    filter.created_lte = to;
                }
                Meaning::Used(days) => {
                    let (from, to) = days.bounds(now);
                    filter.last_used_gte = from.map(|from| later(filter.last_used_gte, from)).or(filter.last_used_gte);
                    filter.last_used_lte = to.map(|to| earlier(filter.last_used_lte, to)).or(filter.last_used_lte);
                }
            }
        }
        // `parse` checked that there are not too many.
        ended.session.search = folded_terms(self.terms()).unwrap_or_default();
        ended.session.search_people = Some(true).filter(|_| !ended.session.search.is_empty());
        ended
    }

    /// The words that are searched for, without quotes.
    pub fn terms(&self) -> impl Iterator<Item = String> {
        self.meanings().filter_map(|meaning| match meaning {
            Meaning::Words(text) => Some(unquoted(text)),
            _ => None,
        })
    }
}

impl fmt::Display for SessionQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.tokens.iter().map(|token| token.text.as_str()).collect();
        f.write_str(&texts.join(" "))
    }
}

/// A token of a field and a value, quoted where it must be.
#[must_use]
pub fn token(key: &str, value: &str) -> String {
    let is_plain = !value.is_empty() && !value.chars().any(|c| c.is_whitespace() || c == '"');
    if is_plain { format!("{key}:{value}") } else { format!("{key}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")) }
}

fn earlier(known: Option<Timestamp>, new: Timestamp) -> Timestamp {
    known.map_or(new, |known| known.min(new))
}

fn later(known: Option<Timestamp>, new: Timestamp) -> Timestamp {
    known.map_or(new, |known| known.max(new))
}

/// Whether two tokens say something about the same field, so that only one can apply.
fn is_same_field(a: &Meaning, b: &Meaning) -> bool {
    let is_place = |name: &str| matches!(name, "network" | "last_ip");
    match (a, b) {
        (Meaning::Filter { name: a, .. }, Meaning::Filter { name: b, .. }) => a == b || (is_place(a) && is_place(b)),
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}
