//! Texts of the search language → tokens and what they mean.

use std::time::Duration;

use crate::domain::address::Address;
use crate::domain::filters::{FilterSet, Word};
use crate::domain::listing::EndedFilter;
use crate::domain::query::{Days, Meaning, words};

/// Splits at white space; what is between double quotes stays together, with `\"` and `\\` for
/// these two.
pub fn split(text: &str) -> Vec<String> {
    let (mut tokens, mut token, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().filter(|c| !c.is_control() || c.is_whitespace());
    while let Some(c) = characters.next() {
        match c {
            '\\' if is_quoted => {
                token.push(c);
                token.extend(characters.next());
            }
            '"' => {
                is_quoted = !is_quoted;
                token.push(c);
            }
            c if c.is_whitespace() && !is_quoted => {
                if !token.is_empty() {
                    tokens.push(std::mem::take(&mut token));
                }
            }
            c => token.push(c),
        }
    }
    if is_quoted {
        token.push('"');
    }
    if !token.is_empty() {
        tokens.push(token);
    }
    tokens
}

/// The text without its quotes, and `\"` and `\\` between them as `"` and `\`.
pub fn unquoted(text: &str) -> String {
    let (mut out, mut is_quoted) = (String::with_capacity(text.len()), false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' if is_quoted => out.extend(characters.next()),
            '"' => is_quoted = !is_quoted,
            c => out.push(c),
        }
    }
    out
}

/// What a token means; `Err`: what is wrong with it, in a sentence.
pub fn read(text: &str) -> Result<Meaning, String> {
    if let Some(rest) = text.strip_prefix('-').filter(|rest| !rest.is_empty()) {
        return match rest {
            "current" => Ok(Meaning::NotCurrent),
            _ => Err(format!("“{text}”: only “-current” can be left out so. To search for the words, put them in quotes.")),
        };
    }
    let Some((key, value)) = text.split_once(':').filter(|(key, _)| is_key(key) && Address::parse(text).is_none()) else {
        return Ok(Meaning::Words(text.to_owned()));
    };
    let value = unquoted(value);
    let key = key.to_ascii_lowercase();
    let Some(word) = words().find(|word| word.key == key) else {
        let known: Vec<&str> = words().map(|word| word.key).collect();
        return Err(format!("There is no “{key}:”. There is {}. To search for the words, put them in quotes.", known.join(", ")));
    };
    let Word { key, example, about } = word;
    if value.is_empty() {
        return Err(format!("“{key}:” says nothing. Such as {key}:{example} ({about})."));
    }
    let meaning = by_time(key, &value).or_else(|| by_filter(key, &value));
    meaning.ok_or_else(|| format!("“{value}” is nothing that “{key}:” can be. Such as {key}:{example} ({about})."))
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// The first filter with this word that takes the value.
fn by_filter(key: &str, value: &str) -> Option<Meaning> {
    let mut filters = EndedFilter::all().filter(|about| about.words.iter().any(|word| word.key == key));
    let about = filters.find(|about| EndedFilter::default().set(about.name, value).is_ok())?;
    Some(Meaning::Filter { name: about.name, value: value.to_owned() })
}

fn by_time(key: &str, value: &str) -> Option<Meaning> {
    match key {
        "idle" => match value.strip_prefix('<') {
            Some(time) => duration(time).map(Meaning::IdleUnder),
            None => duration(value.strip_prefix('>').unwrap_or(value)).map(Meaning::IdleOver),
        },
        "ends" => match value.strip_prefix('>') {
            Some(time) => duration(time).map(Meaning::EndsAfter),
            None => duration(value.strip_prefix('<').unwrap_or(value)).map(Meaning::EndsWithin),
        },
        "used" => Days::parse(value).map(Meaning::Used),
        "active" => Days::parse(value).map(Meaning::Active),
        "ended" => Days::parse(value).map(Meaning::Ended),
        _ => None,
    }
}

/// `90s`, `15m`, `2h`, `30d`, `2w`.
fn duration(value: &str) -> Option<Duration> {
    let unit = value.chars().next_back()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let count: u64 = value.get(..value.len() - 1)?.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds).filter(|seconds| *seconds < 1 << 40)?))
}
