//! Users in a CSV file: the separator, the columns, and what each row says. Nothing here knows what is stored.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::domain::names;
use crate::domain::user::{UserType, check_email, check_full_name, check_path, check_username};

/// The most rows of one file.
pub const MOST_ROWS: usize = 10_000;

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line it is on, from 1.
    pub line: u64,
    /// What is wrong, as a sentence without a full stop.
    pub why: String,
}

/// A user that a row describes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserRecord {
    /// The line it begins on, from 1.
    pub line: u64,
    /// What they sign in with, tidy.
    pub username: String,
    /// The full name, or `""`.
    pub name: String,
    /// The e-mail address, or `""`.
    pub email: String,
    /// What they are; `None`: not said.
    pub kind: Option<UserType>,
    /// The path; `None`: not said.
    pub path: Option<String>,
    /// Names of groups.
    pub groups: Vec<String>,
    /// Whether they are active; not said: they are.
    pub is_active: bool,
    /// Whether they are administrators.
    pub is_superuser: bool,
    /// Whether they are auditors.
    pub is_auditor: bool,
    /// Their attributes; `None`: not said.
    pub attributes: Option<Map<String, Value>>,
}

/// A column that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Username,
    Name,
    Email,
    Type,
    Path,
    Groups,
    Active,
    Superuser,
    Auditor,
    Attributes,
}

/// The columns that a file may have, as help texts name them.
pub const COLUMNS: &str = "username, name, email, type, path, groups, active, superuser, auditor, attributes";

impl Column {
    /// The column of this heading: case, blanks, `-` and `_` do not count.
    fn of(heading: &str) -> Option<Self> {
        let plain: String = heading.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        Some(match plain.as_str() {
            "username" => Self::Username,
            "name" | "fullname" => Self::Name,
            "email" => Self::Email,
            "type" => Self::Type,
            "path" => Self::Path,
            "groups" | "group" => Self::Groups,
            "active" | "isactive" => Self::Active,
            "superuser" | "issuperuser" | "administrator" => Self::Superuser,
            "auditor" | "isauditor" => Self::Auditor,
            "attributes" => Self::Attributes,
            _ => return None,
        })
    }
}

/// Reads a file: the users of its rows in order, and everything that is wrong. The first row names the columns; the
/// separator is the one of `,`, `;` and tab that is most frequent in it. A byte order mark at the start does not count.
#[must_use]
pub fn read(bytes: &[u8]) -> (Vec<UserRecord>, Vec<Fault>) {
    let fault = |line, why: &str| (Vec::new(), vec![Fault { line, why: why.to_owned() }]);
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return fault(1, "the file is UTF-16; save it as CSV UTF-8");
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}'),
        Err(error) => {
            let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
            return fault(u64::try_from(line).unwrap_or(0), "this is not UTF-8; save the file as CSV UTF-8");
        }
    };
    // The reader counts lines by the line feed alone.
    let text = text.replace("\r\n", "\n");
    if text.trim().is_empty() {
        return fault(1, "the file is empty; its first line names the columns");
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator(&text))
        .flexible(true)
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut rows = reader.records();
    let Some(Ok(headings)) = rows.next() else {
        return fault(1, "the first line cannot be read; it names the columns");
    };
    let mut faults = Vec::new();
    let columns = read_headings(&headings, &mut faults);
    if !faults.is_empty() {
        return (Vec::new(), faults);
    }
    let (mut users, mut known) = (Vec::new(), HashMap::<String, u64>::new());
    for row in rows {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let line = error.position().map_or(0, |position| line_of(&text, position));
                faults.push(Fault { line, why: "this row cannot be read".to_owned() });
                continue;
            }
        };
        let line = row.position().map_or(0, |position| line_of(&text, position));
        if row.iter().all(str::is_empty) {
            continue;
        }
        if users.len() + faults.len() >= MOST_ROWS {
            faults.push(Fault { line, why: format!("a file may have {MOST_ROWS} rows; divide it") });
            break;
        }
        let before = faults.len();
        let mut wrong = |why: String| faults.push(Fault { line, why });
        if row.len() > columns.len() {
            wrong(format!("there are {} cells, and {} columns", row.len(), columns.len()));
            continue;
        }
        let user = read_row(line, &columns, &row, &mut wrong);
        if user.username.is_empty() {
            if faults.len() == before {
                faults.push(Fault { line, why: "there is no username".to_owned() });
            }
            continue;
        }
        if let Some(first) = known.insert(names::key(&user.username), line) {
            faults.push(Fault { line, why: format!("the username {:?} is on line {first}, too", user.username) });
        }
        if faults.len() == before {
            users.push(user);
        }
    }
    if users.is_empty() && faults.is_empty() {
        faults.push(Fault { line: 1, why: "there are no users below the columns".to_owned() });
    }
    (users, faults)
}

/// The separator: the most frequent one in the first line, outside of quotes.
fn separator(text: &str) -> u8 {
    let (mut counts, mut is_quoted) = ([(b',', 0), (b';', 0), (b'\t', 0)], false);
    for byte in text.bytes() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            _ if !is_quoted => {
                for (separator, count) in &mut counts {
                    *count += usize::from(*separator == byte);
                }
            }
            _ => {}
        }
    }
    // The first of equal ones: the comma, which a file with one column has.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| *separator)
}

fn read_headings(headings: &csv::StringRecord, faults: &mut Vec<Fault>) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut wrong = |why: String| faults.push(Fault { line: 1, why });
    for heading in headings {
        match Column::of(heading) {
            Some(column) if columns.contains(&column) => wrong(format!("the column {heading:?} is there twice")),
            Some(column) => columns.push(column),
            None => wrong(format!("there is no column {heading:?}; there are {COLUMNS}")),
        }
    }
    if !columns.contains(&Column::Username) && faults.is_empty() {
        faults.push(Fault { line: 1, why: "the column username is missing".to_owned() });
    }
    columns
}

/// Reads a row. What is wrong is said, and left out.
fn read_row(line: u64, columns: &[Column], row: &csv::StringRecord, wrong: &mut impl FnMut(String)) -> UserRecord {
    let mut user = UserRecord { line, is_active: true, ..UserRecord::default() };
    for (column, cell) in columns.iter().zip(row.iter()) {
        let cell = cell.trim();
        if cell.is_empty() {
            continue;
        }
        let mut checked = |checked: Result<String, crate::domain::user::UserRule>| match checked {
            Ok(text) => text,
            Err(rule) => {
                wrong(format!("{cell:?}: {rule}"));
                String::new()
            }
        };
        match column {
            Column::Username => user.username = checked(check_username(cell)),
            Column::Name => user.name = checked(check_full_name(cell)),
            Column::Email => user.email = checked(check_email(cell)),
            Column::Path => user.path = Some(checked(check_path(cell))),
            Column::Type => match UserType::parse(cell) {
                Some(kind) if kind != UserType::InternalServiceAccount => user.kind = Some(kind),
                _ => wrong(format!("{cell:?}: a type is internal, external or service_account")),
            },
            Column::Groups => {
                user.groups = cell.split('|').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
            }
            Column::Active | Column::Superuser | Column::Auditor => match flag(cell) {
                Some(flag) => match column {
                    Column::Active => user.is_active = flag,
                    Column::Superuser => user.is_superuser = flag,
                    _ => user.is_auditor = flag,
                },
                None => wrong(format!("{cell:?}: write yes or no")),
            },
            Column::Attributes => match serde_json::from_str(cell) {
                Ok(Value::Object(attributes)) => user.attributes = Some(attributes),
                _ => wrong(format!("{cell:?}: attributes are a JSON object")),
            },
        }
    }
    user
}

fn flag(cell: &str) -> Option<bool> {
    match cell.to_lowercase().as_str() {
        "yes" | "true" | "1" | "y" => Some(true),
        "no" | "false" | "0" | "n" => Some(false),
        _ => None,
    }
}

/// The line of a row. The reader's position is before the empty lines that it skips.
fn line_of(text: &str, position: &csv::Position) -> u64 {
    let at = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let empty = text.as_bytes().iter().skip(at).take_while(|byte| **byte == b'\n').count();
    position.line().saturating_add(u64::try_from(empty).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let (users, faults) = read(text.as_bytes());
        assert_eq!(faults, [], "{text}");
        users.into_iter().map(|user| user.username).collect()
    }

    fn faults(text: &str) -> Vec<(u64, String)> {
        read(text.as_bytes()).1.into_iter().map(|fault| (fault.line, fault.why)).collect()
    }

    #[test]
    fn separators_and_byte_order_marks_of_spreadsheets_are_read() {
        for text in [
            "username,name\nalice,Alice A\nbob,\n",
            "\u{feff}Username;Full Name\r\nalice;\"A, B\"\r\nbob;\r\n",
            "username\tname\nalice\tA;B,C;D,E\nbob\t\n",
            "username\nalice\n\nbob\n",
        ] {
            assert_eq!(names(text), ["alice", "bob"], "{text}");
        }
        let (users, _) = read(
            "E-Mail; user_name ;groups;active;type;attributes\na@b.example; zoë ;a | b;no;external;\"{\"\"n\"\":1}\"\n".as_bytes(),
        );
        assert_eq!(users[0].email, "a@b.example");
        assert_eq!((users[0].username.as_str(), users[0].is_active), ("zoë", false));
        assert_eq!((users[0].groups.as_slice(), users[0].kind), (&["a".to_owned(), "b".to_owned()][..], Some(UserType::External)));
        assert_eq!(users[0].attributes.as_ref().unwrap()["n"], 1);
        assert_eq!(users[0].line, 2);
        assert_eq!(read(b"username\r\nalice\r\n\r\nbob\r\n").0.iter().map(|user| user.line).collect::<Vec<_>>(), [2, 4]);
        // A quoted cell over two lines, and the line of what comes after.
        assert_eq!(faults("username,name\nalice,\"A\nB\"\n,x\n")[0].0, 2, "a line break is no part of a name");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let text = "username,email,type,active\nalice,alice@example.com,internal,yes\nALICE,,,\n,b@c.example,,\nbob,nonsense,robot,maybe\n\
            eve\u{200b},,,\ncarol,,,,extra\n";
        let found = faults(text);
        let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 5, 5, 5, 6, 7]);
        for (at, says) in
            ["is on line 2", "no username", "not an e-mail", "a type is", "yes or no", "invisible", "5 cells"].iter().enumerate()
        {
            assert!(found[at].1.contains(says), "{says}: {:?}", found[at]);
        }
        for (text, says) in [
            ("", "empty"),
            ("\u{feff} \n", "empty"),
            ("name\nx\n", "username is missing"),
            ("username,usernam\nx,y\n", "no column \"usernam\""),
            ("username,User-Name\nx,y\n", "twice"),
            ("username\n", "no users"),
            ("username\n\n\n", "no users"),
        ] {
            assert!(faults(text)[0].1.contains(says), "{text:?}: {:?}", faults(text));
        }
        assert!(
            read(b"username\nal\xffice\n").1[0] == Fault { line: 2, why: "this is not UTF-8; save the file as CSV UTF-8".into() }
        );
        assert!(read(b"\xff\xfeu\0").1[0].why.contains("UTF-16"));
        let many = (0..=MOST_ROWS).fold("username\n".to_owned(), |text, n| text + &format!("u{n}\n"));
        let (users, faults) = read(many.as_bytes());
        assert_eq!((users.len(), faults.len(), faults[0].line), (MOST_ROWS, 1, 10_002));
    }
}
