//! What commands print: data on standard output, messages on standard error, tables, questions.

use std::io::{BufRead, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table};

use crate::actions::csv;
use crate::cli::{Failure, Outcome};

/// Writes data.
pub(super) fn write(bytes: &[u8]) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Writes a line of data.
pub(super) fn line(text: &str) -> Outcome {
    write(format!("{text}\n").as_bytes())
}

/// Writes a message for the person who runs the command.
pub(super) fn say(text: &str) {
    // Without a standard error there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{}", printable(text)));
}

/// A text without characters that would move a terminal's cursor, colour it, or turn its order
/// around. Line breaks stay.
pub(super) fn printable(text: &str) -> String {
    let is_harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Writes a table, as wide as the terminal, or as wide as needed where there is none.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> Outcome {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell).replace('\n', " ")));
    }
    for text in table.lines() {
        line(text.trim())?;
    }
    Ok(())
}

/// Writes the fields of a JSON object, one in each line.
pub(super) fn facts(record: &serde_json::Value) -> Outcome {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")
        }
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    let fields = record.as_object().into_iter().flatten();
    table(&["what", "value"], fields.map(|(name, value)| vec![name.replace('_', " "), text(value)]).collect())
}

/// Writes rows as CSV with a header, each cell harmless to a spreadsheet ([`crate::actions::csv`]).
pub(super) fn csv(header: &[&str], rows: &[Vec<String>]) -> Outcome {
    write(&csv::rows([header])?)?;
    write(&csv::rows(rows)?)
}

/// Asks a yes-or-no question; anything but yes is no.
pub(super) fn confirm(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err("there is no terminal to ask at; add --yes".into());
    }
    write!(std::io::stderr(), "{} [y/N] ", printable(question))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Reads a new password: asked twice at a terminal, else one line of standard input.
pub(super) fn new_password() -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        let mut password = String::new();
        std::io::stdin().lock().read_line(&mut password)?;
        return Ok(password.trim_end_matches(['\r', '\n']).to_owned());
    }
    let password = rpassword::prompt_password("New password: ")?;
    if rpassword::prompt_password("The same again: ")? != password {
        return Err("the two passwords differ".into());
    }
    Ok(password)
}
