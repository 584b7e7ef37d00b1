//! The search language: `user:alice country:germany idle:>30d -current`, and plain words.
//!
//! The search box of the page of all sessions and the command line read it. A key is a word of
//! [`crate::domain::filters`] or one of `TIMES`; both are explained by [`words`]. Some keys are about ended
//! sessions only, such as `reason:`. A mistake is said in a sentence. What was understood can still be shown ([`SessionQuery::understood`]), but sessions end only
//! by a query without a mistake ([`SessionQuery::filter`]).

mod days;
mod read;

use std::fmt;
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::filters::{ENDED, FilterSet, Word};
use crate::domain::listing::{EndedFilter, SessionFilter};
pub use crate::domain::query::days::{Day, Days};
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
    /// A text that must be part of the username, the address or the user agent.
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
    /// Ended on these days.
    Ended(Days),
    /// All but the session that asks.
    NotCurrent,
}

/// The keys whose values depend on the time of the question.
const TIMES: [Word; 4] = [
    Word { key: "idle", example: ">30d", about: "not used for that long; <1h: used within it; s, m, h, d, w" },
    Word { key: "ends", example: "<1h", about: "ends within it; >7d: does not" },
    Word {
        key: "used",
        example: "yesterday",
        about: "last used on that day in UTC: today, yesterday, 2026-11-01, >DAY, <DAY, DAY..DAY",
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
                Meaning::Used(days) => {
                    let (from, to) = days.bounds(now);
                    filter.last_used_gte = from.map(|from| later(filter.last_used_gte, from)).or(filter.last_used_gte);
                    filter.last_used_lte = to.map(|to| earlier(filter.last_used_lte, to)).or(filter.last_used_lte);
                }
            }
        }
        // `parse` checked that there are not too many.
        ended.session.search = folded_terms(self.terms()).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::Network;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn the_whole_language() {
        let now = at("2026-11-01T12:00:00Z");
        let query = SessionQuery::parse(
            "user:alice country:germany network:AS3320 browser:firefox os:\"Mac OS X\" ip:10.0.0.0/8 idle:>30d -current le wis",
        );
        assert_eq!(query.mistakes(), None);
        let want = SessionFilter {
            username: Some("alice".into()),
            country: Some("DE".into()),
            asn: Some(3320),
            network: Network::parse("10.0.0.0/8"),
            browser: Some("firefox".into()),
            os: Some("Mac OS X".into()),
            last_used_lte: Some(at("2026-10-02T12:00:00Z")),
            search: vec!["WIS".into(), "LE".into()],
            ..SessionFilter::default()
        };
        assert_eq!(query.filter(now), Ok(want));
        assert!(query.spares_current());
        assert_eq!(query.terms().collect::<Vec<_>>(), ["le", "wis"]);
    }

    #[test]
    fn addresses_are_words_and_fields() {
        for word in ["2001:db8::1", "dead:beef::1", "10.0", "::1"] {
            assert_eq!(read(word), Ok(Meaning::Words(word.into())), "{word}");
        }
        let address = |value: &str| Ok(Meaning::Filter { name: "last_ip", value: value.into() });
        assert_eq!(read("ip:2001:db8::1"), address("2001:db8::1"));
        assert_eq!(read("\"user:alice\""), Ok(Meaning::Words("\"user:alice\"".into())));
    }

    #[test]
    fn times() {
        let now = at("2026-11-10T12:00:00Z");
        let filter = |text: &str| {
            let query = SessionQuery::parse(text);
            assert_eq!(query.mistakes(), None, "{text}");
            query.filter(now).unwrap()
        };
        assert_eq!(filter("idle:<2h").last_used_gte, Some(at("2026-11-10T10:00:00Z")));
        assert_eq!(filter("idle:15m").last_used_lte, Some(at("2026-11-10T11:45:00Z")));
        assert_eq!(filter("ends:<1d").expires_lte, Some(at("2026-11-11T12:00:00Z")));
        assert_eq!(filter("ends:>1w").expires_gte, Some(at("2026-11-17T12:00:00Z")));
        let day = filter("used:2026-11-05");
        assert_eq!((day.last_used_gte, day.last_used_lte), (Some(at("2026-11-05")), Some(at("2026-11-05T23:59:59.999999Z"))));
        let span = filter("used:2026-11-01..2026-11-03");
        assert_eq!((span.last_used_gte, span.last_used_lte), (Some(at("2026-11-01")), Some(at("2026-11-03T23:59:59.999999Z"))));
        let day = filter("used:yesterday");
        assert_eq!((day.last_used_gte, day.last_used_lte), (Some(at("2026-11-09")), Some(at("2026-11-09T23:59:59.999999Z"))));
        let span = filter("used:yesterday..today");
        assert_eq!((span.last_used_gte, span.last_used_lte), (Some(at("2026-11-09")), Some(at("2026-11-10T23:59:59.999999Z"))));
        assert_eq!(filter("used:<Today").last_used_lte, Some(at("2026-11-09T23:59:59.999999Z")));
        assert_eq!(filter("used:>2026-11-01").last_used_gte, Some(at("2026-11-02")));
        assert_eq!(filter("used:<2026-11-01").last_used_lte, Some(at("2026-10-31T23:59:59.999999Z")));
        // Both apply: the narrower end.
        assert_eq!(filter("used:<2026-11-01 idle:>1h").last_used_lte, Some(at("2026-10-31T23:59:59.999999Z")));
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        for (text, says) in [
            ("colour:red", "There is no “colour:”. There is user, country"),
            ("country:Atlantis", "“Atlantis” is nothing that “country:” can be. Such as country:DE"),
            ("idle:soon", "Such as idle:>30d"),
            ("idle:>99999999999999999999d", "Such as idle"),
            ("ip:1.2.3", "Such as ip:192.0.2.7"),
            ("used:tomorrow", "Such as used:yesterday"),
            ("ended:soon", "Such as ended:today"),
            ("reason:boredom", "Such as reason:revoked"),
            ("user:", "“user:” says nothing. Such as user:alice"),
            ("-mobile", "only “-current”"),
            ("user:a user:b", "“user:b” comes second"),
            ("ip:1.2.3.4 network:10.0.0.0/8", "comes second"),
        ] {
            let query = SessionQuery::parse(text);
            let mistakes = query.mistakes().unwrap().sentences;
            assert!(mistakes.len() == 1 && mistakes[0].contains(says), "{text}: {mistakes:?}");
        }
        let many = SessionQuery::parse(&"-current ".repeat(50)).mistakes().unwrap();
        assert!(many.sentences.last().unwrap().contains("More than 40"), "{many}");
    }

    #[test]
    fn a_query_with_a_mistake_is_shown_and_not_used() {
        let query = SessionQuery::parse("colour:red user:a b");
        assert_eq!(query.understood(Timestamp(0)).username.as_deref(), Some("a"));
        let mistakes = query.filter(Timestamp(0)).unwrap_err();
        assert_eq!((mistakes.sentences.len(), mistakes.understood.as_str()), (1, "user:a b"));
        assert!(mistakes.to_string().ends_with("The rest was understood: “user:a b”."), "{mistakes}");
        assert!(SessionQuery::parse("colour:red").filter(Timestamp(0)).is_err());
    }

    #[test]
    fn one_word_too_many_is_a_mistake_and_not_a_search_for_nothing() {
        let words = |count: u32| (0..count).map(|n| format!("w{n:03}")).collect::<Vec<_>>().join(" ");
        let most = SessionQuery::parse(&words(32));
        assert_eq!(most.filter(Timestamp(0)).unwrap().search.len(), 32);
        let more = SessionQuery::parse(&words(33));
        assert!(more.filter(Timestamp(0)).unwrap_err().sentences[0].contains("“w032” is one word too many"));
        assert_eq!(more.understood(Timestamp(0)).search.len(), 32);
    }

    #[test]
    fn quotes_keep_words_together() {
        let terms = |text: &str| SessionQuery::parse(text).terms().collect::<Vec<_>>();
        assert_eq!(terms("\"a b\" c,d 'e"), ["a b", "c,d", "'e"]);
        assert_eq!(terms("\"user:alice\" say\\ \"x \\\" y\""), ["user:alice", "say\\", "x \" y"]);
    }

    #[test]
    fn each_word_is_explained_once_and_its_example_is_understood() {
        let mut keys = Vec::new();
        for Word { key, example, .. } in words() {
            assert!(!keys.contains(&key), "{key} is there twice");
            keys.push(key);
            let query = SessionQuery::parse(&format!("{key}:{example}"));
            assert_eq!(query.mistakes(), None, "{key}:{example}");
            assert_ne!(query.ended_understood(Timestamp(1 << 50)), EndedFilter::default(), "{key}:{example}");
        }
    }

    #[test]
    fn words_about_ended_sessions_never_widen_a_search_of_live_ones() {
        let now = at("2026-11-10T12:00:00Z");
        let query = SessionQuery::parse("user:alice reason:revoked by:root ended:yesterday");
        assert!(query.is_of_ended() && query.mistakes().is_none());
        let filter = query.ended_filter(now).unwrap();
        assert_eq!((filter.session.username.as_deref(), filter.ended_by.as_deref()), (Some("alice"), Some("root")));
        assert_eq!(filter.reason, Some(crate::domain::EndReason::Revoked));
        assert_eq!((filter.ended_gte, filter.ended_lte), (Some(at("2026-11-09")), Some(at("2026-11-09T23:59:59.999999Z"))));
        let mistakes = query.filter(now).unwrap_err();
        assert_eq!((mistakes.sentences.len(), mistakes.understood.as_str()), (3, "user:alice"));
        assert!(mistakes.sentences[0].starts_with("“reason:revoked” is about ended sessions"), "{mistakes}");
        let live = SessionQuery::parse("user:alice used:today");
        assert!(!live.is_of_ended() && live.filter(now).is_ok());
        assert_eq!(live.ended_filter(now).unwrap().session, live.filter(now).unwrap());
        assert!(SessionQuery::parse("reason:revoked reason:expired").mistakes().is_some(), "one of a kind");
    }

    #[test]
    fn tokens_come_and_go() {
        let query = SessionQuery::parse("  user:\"a b\"   fire country:DE \"open");
        assert_eq!(query.to_string(), "user:\"a b\" fire country:DE \"open\"");
        assert_eq!(query.without(0), "fire country:DE \"open\"");
        assert_eq!(query.with("country:FR"), "user:\"a b\" fire \"open\" country:FR");
        assert_eq!(SessionQuery::parse("x").with("y"), "x y");
        for name in ["plain", "two words", "say \"hi\"", "back\\slash quote\"", ""] {
            let query = SessionQuery::parse(&token("user", name));
            if !name.is_empty() {
                assert_eq!(query.understood(Timestamp(0)).username.as_deref(), Some(name), "{query}");
            }
        }
    }
}
