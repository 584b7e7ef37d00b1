//! What a setting is, and the form in which each section declares its own.

/// One section of the settings: a `[table]` of `rollcall.toml`.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its name in `rollcall.toml`; empty for the settings that are above all tables.
    pub name: &'static str,
    /// Its settings.
    pub keys: &'static [Key],
    docs: &'static [&'static str],
}

impl Section {
    pub(super) const fn new(name: &'static str, docs: &'static [&'static str], keys: &'static [Key]) -> Self {
        Self { name, keys, docs }
    }

    /// What it is about, in one sentence.
    #[must_use]
    pub fn about(&self) -> String {
        paragraphs(self.docs).next().unwrap_or_default()
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its path in `rollcall.toml`, such as `sessions.idle_timeout`.
    pub path: &'static str,
    /// What it takes, with its unit: "a duration such as 30m, 12h or 14d".
    pub form: &'static str,
    /// What holds when it is not set.
    pub default: Default,
    /// Whether its value is a secret, which is never shown.
    pub is_secret: bool,
    /// A value to show where there is no default.
    pub example: &'static str,
    pub(super) docs: &'static [&'static str],
}

/// What holds when a setting is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// This value, read as a given one is.
    Value(&'static str),
    /// No value; the text says what that means, such as "none".
    Unset(&'static str),
}

impl Key {
    /// What it does, in one sentence.
    #[must_use]
    pub fn about(&self) -> String {
        paragraphs(self.docs).next().unwrap_or_default()
    }

    /// What else there is to know; empty for most settings.
    #[must_use]
    pub fn details(&self) -> String {
        paragraphs(self.docs).skip(1).collect::<Vec<_>>().join(" ")
    }

    /// The default as people read it: a value such as `12h`, or a word such as "none".
    #[must_use]
    pub fn default_text(&self) -> &'static str {
        match self.default {
            Default::Value("") => "none",
            Default::Value(text) | Default::Unset(text) => text,
        }
    }
}

/// The paragraphs of a doc comment, each in one line.
fn paragraphs(docs: &'static [&'static str]) -> impl Iterator<Item = String> {
    let paragraphs = docs.split(|line| line.trim().is_empty());
    paragraphs.map(|lines| lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "))
}

/// What a setting takes: how a given text is read, and how that is told to people.
pub(super) struct Kind<T> {
    /// Completes "… is not".
    pub form: &'static str,
    /// Gives `None` for a text that is not of the form.
    pub read: fn(&str) -> Option<T>,
    /// What is wrong with a text that is not of the form, where there is more to say than the form: completes
    /// "The value …".
    pub why: fn(&str) -> Option<&'static str>,
    /// Whether white space around the text belongs to the value.
    pub is_verbatim: bool,
    pub is_secret: bool,
}

impl<T> Kind<T> {
    pub(super) const fn new(form: &'static str, read: fn(&str) -> Option<T>) -> Self {
        Self { form, read, why: |_| None, is_verbatim: false, is_secret: false }
    }

    pub(super) const fn explained(self, why: fn(&str) -> Option<&'static str>) -> Self {
        Self { why, form: self.form, read: self.read, is_verbatim: self.is_verbatim, is_secret: self.is_secret }
    }

    pub(super) const fn verbatim(self) -> Self {
        Self { is_verbatim: true, form: self.form, read: self.read, why: self.why, is_secret: self.is_secret }
    }

    pub(super) const fn secret(self) -> Self {
        Self { is_secret: true, form: self.form, read: self.read, why: self.why, is_verbatim: self.is_verbatim }
    }
}

/// Declares one section: the struct that holds its values, and the table from which everything else
/// about them is made: how they are read, the errors, `docs/settings.md`, `rollcall.example.toml`
/// and the settings page.
///
/// ```text
/// section! {
///     /// One sentence about the section.
///     pub struct HistoryConfig [history] {
///         /// One sentence about the setting: its row in the documents.
///         ///
///         /// More, if there is more to say.
///         retention: Duration = DURATION, default "90d";
///     }
/// }
/// ```
///
/// A field has the name of its setting. After the `=` come the [`Kind`] that reads the value, and
/// either `default "text"`, which the same `Kind` reads, or `unset "what that means"`, for a field
/// that is an `Option`; a setting without a default shows its `example`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident $section:tt {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $kind:ident, $presence:ident $text:literal $(, example $example:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                pub $field: $type,
            )+
        }

        impl $name {
            pub(super) const SECTION: $crate::config::Section = $crate::config::Section::new(
                $crate::config::section::section_name!($section),
                &[$($about),+],
                &[$($crate::config::Key {
                    path: $crate::config::section::key_path!($section $field),
                    form: $kind.form,
                    default: $crate::config::section::key_default!($presence $text),
                    is_secret: $kind.is_secret,
                    example: concat!($($example)?),
                    docs: &[$($doc),+],
                }),+],
            );

            pub(super) fn read(values: &$crate::config::sources::Values) -> Result<Self, $crate::config::ConfigError> {
                Ok(Self {
                    $($field: $crate::config::section::read_key!(values, $crate::config::section::key_path!($section $field), $kind, $presence $text),)+
                })
            }
        }
    };
}

macro_rules! section_name {
    ([]) => {
        ""
    };
    ([$section:ident]) => {
        stringify!($section)
    };
}

macro_rules! key_path {
    ([] $field:ident) => {
        stringify!($field)
    };
    ([$section:ident] $field:ident) => {
        concat!(stringify!($section), ".", stringify!($field))
    };
}

macro_rules! key_default {
    (default $text:literal) => {
        $crate::config::Default::Value($text)
    };
    (unset $text:literal) => {
        $crate::config::Default::Unset($text)
    };
}

macro_rules! read_key {
    ($values:ident, $path:expr, $kind:ident, default $text:literal) => {
        $values.get($path, &$kind, $text)?
    };
    ($values:ident, $path:expr, $kind:ident, unset $text:literal) => {
        $values.find($path, &$kind)?
    };
}

pub(super) use {key_default, key_path, read_key, section, section_name};
