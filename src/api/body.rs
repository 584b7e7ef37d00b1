//! Fields of a body, read and refused as Django REST Framework's serializers do, in their words.
//!
//! All wrong fields are reported together, in the order in which they are read:
//!
//! ```ignore
//! let mut body = Body::of(&mut call).await?;
//! let username = body.field("username").required().text(150);
//! let is_active = body.field("is_active").boolean();
//! body.finish()?;
//! ```
//!
//! A reader gives `None` for a field that was not sent, and for one that is wrong; [`Body::finish`] tells the two apart.

use axum::http::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::api::django::{self, Int};
use crate::api::endpoint::{Call, NO_BOOLEAN, NO_INTEGER, NO_STRING, REQUIRED};
use crate::api::error::{ApiError, FieldErrors};
use crate::domain::Timestamp;
use crate::domain::people_lists::holds_null_character;
use crate::domain::user::{MAX_EMAIL_LENGTH, check_email};

/// 400: null, where null is no value.
const NO_NULL: &str = "This field may not be null.";
/// 400: an empty text, where a text is needed.
const BLANK: &str = "This field may not be blank.";
/// 400: a text with U+0000.
const NULL_CHARACTER: &str = "Null characters are not allowed.";
const NO_EMAIL: &str = "Enter a valid email address.";
const NO_SLUG: &str = "Enter a valid \"slug\" consisting of letters, numbers, underscores or hyphens.";
const NO_INSTANT: &str =
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].";
const LARGE_NUMBER: &str = "A whole number must fit into 64 bits. Send a larger one as a text.";
const NO_OBJECT: &str = "Value must be a dictionary, and not have any duplicate keys.";

/// The largest body whose fields are read, in bytes: a group with 100,000 members fits.
pub const MAX_FIELDS: usize = 1024 * 1024;
/// The largest object in a field, in bytes of its JSON text.
pub const MAX_OBJECT: usize = crate::domain::user::MAX_ATTRIBUTES;

/// How often a change is worked out anew when another one came first.
pub const TRIES: usize = 20;

/// The fields of a body, and what is wrong with them.
#[derive(Clone)]
pub struct Body {
    fields: Map<String, Value>,
    errors: FieldErrors,
    /// Whether no field has to be sent (`PATCH`).
    is_partial: bool,
    /// Whether numbers may have been rounded when they were read.
    is_rounded: bool,
}

impl Body {
    /// Reads the body of a request. For `PATCH` no field is required.
    ///
    /// # Errors
    /// 413 for more than [`MAX_FIELDS`], 415 for another media type, 400 for what is no JSON object.
    pub async fn of(call: &mut Call) -> Result<Self, ApiError> {
        let fields = call.read_object_within(MAX_FIELDS).await?;
        Ok(Self { is_rounded: call.has_long_integer(), ..Self::new(fields, *call.method() == Method::PATCH) })
    }

    /// These fields; with `is_partial` none is required.
    #[must_use]
    pub fn new(fields: Map<String, Value>, is_partial: bool) -> Self {
        Self { fields, errors: FieldErrors::default(), is_partial, is_rounded: false }
    }

    /// The field of that name, to be read. It may be missing unless it is said to be [required](Field::required).
    pub fn field(&mut self, name: &'static str) -> Field<'_> {
        Field { body: self, name, is_required: false, is_blank_allowed: false, is_trimmed: true }
    }

    /// Whether the field was sent, with whichever value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Whether the request changes some fields and leaves the others as they are (`PATCH`).
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Notes what is wrong with a field, unless something is noted already.
    pub fn wrong(&mut self, name: &str, why: impl Into<String>) {
        self.errors.add(name, why);
    }

    /// Notes that a field's list of UUIDs refers to nothing with this one, and names it as it was sent.
    pub fn refers_to_nothing(&mut self, name: &str, uuid: Uuid) {
        let items = self.fields.get(name).and_then(Value::as_array);
        let sent = items.and_then(|items| items.iter().find(|item| uuid_key(item) == Ok(uuid)));
        let sent = sent.map_or_else(|| uuid.to_string(), python_text);
        self.wrong(name, no_such_pk(sent));
    }

    /// Whether something is wrong with this field.
    #[must_use]
    pub fn is_wrong(&self, name: &str) -> bool {
        self.errors.has(name)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 400 that names all wrong fields.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Parameters(self.errors)) }
    }
}

/// A field of a body that is about to be read.
pub struct Field<'a> {
    body: &'a mut Body,
    name: &'static str,
    is_required: bool,
    is_blank_allowed: bool,
    is_trimmed: bool,
}

impl Field<'_> {
    /// It must be sent, but with `PATCH`.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// An empty text is a value.
    #[must_use]
    pub fn or_blank(mut self) -> Self {
        self.is_blank_allowed = true;
        self
    }

    /// Blanks around the text belong to it, as those of a password do.
    #[must_use]
    pub fn untrimmed(mut self) -> Self {
        self.is_trimmed = false;
        self
    }

    /// A text of at most `most` characters, without blanks around it. A number is taken as a text.
    #[must_use]
    pub fn text(self, most: usize) -> Option<String> {
        let (is_blank_allowed, is_trimmed) = (self.is_blank_allowed, self.is_trimmed);
        self.value(|value| text(value, is_blank_allowed, is_trimmed, most))
    }

    /// The same; the inner `None` is null.
    #[must_use]
    pub fn text_or_null(self, most: usize) -> Option<Option<String>> {
        let (is_blank_allowed, is_trimmed) = (self.is_blank_allowed, self.is_trimmed);
        self.value_or_null(|value| text(value, is_blank_allowed, is_trimmed, most))
    }

    /// An e-mail address, or an empty text.
    #[must_use]
    pub fn email(self) -> Option<String> {
        self.value(|value| {
            let email = text(value, true, true, MAX_EMAIL_LENGTH)?;
            check_email(&email).map_err(|_| NO_EMAIL.to_owned())
        })
    }

    /// A text of ASCII letters, digits, `-` and `_`, of at most `most` characters.
    #[must_use]
    pub fn slug(self, most: usize) -> Option<String> {
        self.value(|value| {
            let slug = text(value, false, true, most)?;
            let is_slug = slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if is_slug { Ok(slug) } else { Err(NO_SLUG.to_owned()) }
        })
    }

    /// A boolean, or a word or number for one.
    #[must_use]
    pub fn boolean(self) -> Option<bool> {
        self.value(boolean)
    }

    /// An integer, or a text of one. What does not fit is refused.
    #[must_use]
    pub fn integer(self) -> Option<i64> {
        self.value(|value| integer(value)?.value().ok_or_else(|| NO_INTEGER.to_owned()))
    }

    /// An instant.
    #[must_use]
    pub fn instant(self) -> Option<Timestamp> {
        self.value(instant)
    }

    /// An instant; the inner `None` is null.
    #[must_use]
    pub fn instant_or_null(self) -> Option<Option<Timestamp>> {
        self.value_or_null(instant)
    }

    /// A word that `read` knows.
    pub fn choice<T>(self, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.value(|value| {
            let word = match value {
                Value::String(word) => word.clone(),
                other => python_text(other),
            };
            read(&word).ok_or_else(|| format!("\"{word}\" is not a valid choice."))
        })
    }

    /// A JSON object, of at most [`MAX_OBJECT`] bytes of text, in its text form.
    #[must_use]
    pub fn object(self) -> Option<Map<String, Value>> {
        let is_rounded = self.body.is_rounded;
        self.value(|value| {
            let Value::Object(object) = value else { return Err(NO_OBJECT.to_owned()) };
            if value.to_string().len() > MAX_OBJECT {
                return Err(format!("Ensure this value has no more than {MAX_OBJECT} bytes as JSON."));
            }
            if is_rounded && holds_large_number(value) {
                return Err(LARGE_NUMBER.to_owned());
            }
            if holds_null_character(value) { Err(NULL_CHARACTER.to_owned()) } else { Ok(object.clone()) }
        })
    }

    /// The primary key of an object of integer keys. Whether there is such an object is for the caller to find out, who
    /// says so with [`no_such_pk`]. A key that no object can have is -1.
    #[must_use]
    pub fn key(self) -> Option<i64> {
        self.value(key)
    }

    /// A list of such primary keys. The first wrong one is reported.
    #[must_use]
    pub fn keys(self) -> Option<Vec<i64>> {
        self.list(key)
    }

    /// A list of primary keys that are UUIDs.
    #[must_use]
    pub fn uuids(self) -> Option<Vec<Uuid>> {
        self.list(uuid_key)
    }

    /// A list whose items `read` takes, or says what is wrong with. The first wrong item is reported.
    pub fn list<T>(self, read: impl Fn(&Value) -> Result<T, String>) -> Option<Vec<T>> {
        self.value(|value| match value {
            Value::Array(items) => items.iter().map(read).collect(),
            other => Err(format!("Expected a list of items but got type \"{}\".", type_name(other))),
        })
    }

    /// The field's value, which may not be null, read by `read`; or what is wrong with it.
    pub fn value<T>(self, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let is_null = self.body.fields.get(self.name).is_some_and(Value::is_null);
        if is_null {
            self.body.wrong(self.name, NO_NULL);
            return None;
        }
        self.value_or_null(read).flatten()
    }

    /// The field's value, read by `read`; the inner `None` is null.
    pub fn value_or_null<T>(self, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<Option<T>> {
        let Self { body, name, is_required, .. } = self;
        match body.fields.get(name).map(|value| if value.is_null() { Ok(None) } else { read(value).map(Some) }) {
            Some(Ok(value)) => Some(value),
            Some(Err(why)) => {
                body.wrong(name, why);
                None
            }
            None => {
                if is_required && !body.is_partial {
                    body.wrong(name, REQUIRED);
                }
                None
            }
        }
    }
}

/// What is wrong with a reference to nothing.
#[must_use]
pub fn no_such_pk(pk: impl std::fmt::Display) -> String {
    format!("Invalid pk \"{pk}\" - object does not exist.")
}

/// What Python calls the type of a JSON value.
#[must_use]
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// A value as Python's `str()` writes it, as far as messages show it.
fn python_text(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a value holds a number beyond 64 bits.
fn holds_large_number(value: &Value) -> bool {
    const MOST: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Number(number) => number.is_f64() && number.as_f64().is_some_and(|number| number.abs() >= MOST),
        Value::Array(items) => items.iter().any(holds_large_number),
        Value::Object(fields) => fields.values().any(holds_large_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn text(value: &Value, is_blank_allowed: bool, is_trimmed: bool, most: usize) -> Result<String, String> {
    let text = match value {
        Value::String(text) if is_trimmed => text.trim_matches(django::is_space).to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(NO_STRING.into()),
    };
    if text.trim_matches(django::is_space).is_empty() && (text.is_empty() || is_trimmed) && !is_blank_allowed {
        return Err(BLANK.into());
    }
    if text.contains('\0') {
        return Err(NULL_CHARACTER.into());
    }
    if text.chars().count() > most {
        return Err(format!("Ensure this field has no more than {most} characters."));
    }
    Ok(text)
}

fn boolean(value: &Value) -> Result<bool, String> {
    let is = |words: &[&str], text: &str| {
        let title = |word: &str| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
        };
        words.iter().any(|word| text == *word || text == word.to_ascii_uppercase() || text == title(word))
    };
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if is(&["t", "y", "yes", "true", "on", "1"], text) => Ok(true),
        Value::String(text) if is(&["f", "n", "no", "false", "off", "0"], text) => Ok(false),
        Value::Number(number) if number.as_f64() == Some(1.0) => Ok(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => Ok(false),
        _ => Err(NO_BOOLEAN.into()),
    }
}

/// An integer as `IntegerField` reads it: `6.0` is 6.
fn integer(value: &Value) -> Result<Int, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(NO_INTEGER.into()),
    };
    if text.chars().count() > 1000 {
        return Err("String value too large.".into());
    }
    let trimmed = text.trim_end_matches(django::is_space);
    let whole = trimmed.trim_end_matches('0').strip_suffix('.').unwrap_or(&text);
    django::int(whole).ok_or_else(|| NO_INTEGER.into())
}

fn instant(value: &Value) -> Result<Timestamp, String> {
    value.as_str().and_then(Timestamp::parse).ok_or_else(|| NO_INSTANT.into())
}

fn key(value: &Value) -> Result<i64, String> {
    let number = match value {
        Value::String(text) => django::int(text),
        Value::Number(number) => django::int(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match number {
        Some(Int::Fits(key)) => Ok(key),
        Some(Int::TooLarge | Int::TooSmall) => Err(no_such_pk(python_text(value))),
        None => Err(format!("Incorrect type. Expected pk value, received {}.", type_name(value))),
    }
}

fn uuid_key(value: &Value) -> Result<Uuid, String> {
    match value {
        Value::String(text) => django::uuid(text).map(|id| id.0).ok_or_else(|| format!("“{text}” is not a valid UUID.")),
        // Django reads an integer as the UUID of that number.
        Value::Number(number) => match number.as_u64() {
            Some(number) => Ok(Uuid::from_u128(number.into())),
            None => Err(format!("“{number}” is not a valid UUID.")),
        },
        other => Err(format!("Incorrect type. Expected pk value, received {}.", type_name(other))),
    }
}

#[cfg(test)]
mod tests;
