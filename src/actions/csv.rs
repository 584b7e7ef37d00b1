//! CSV, for every table that leaves Rollcall: exports of pages and of the command line.
//!
//! Names and user agents are strangers' words. A spreadsheet takes a cell that begins with `=` and some
//! other characters for a formula and runs it, so such a cell gets a `'` in front (OWASP, CSV injection).

/// What a file for a spreadsheet begins with: without it, spreadsheets do not take the text for UTF-8. Text
/// for a pipe has none, since other programs take it for a part of the first column's name.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Rows as CSV (RFC 4180, with `\n`), each cell harmless to a spreadsheet. A header is a row like others.
///
/// # Errors
/// When rows differ in length.
pub fn rows<Row, Cell>(rows: impl IntoIterator<Item = Row>) -> Result<Vec<u8>, csv::Error>
where
    Row: IntoIterator<Item = Cell>,
    Cell: AsRef<str>,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        for cell in row {
            writer.write_field(harmless(cell.as_ref()).as_ref())?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A cell that no spreadsheet takes for a formula. The wide forms of the four signs count, too: some
/// spreadsheets narrow them.
fn harmless(cell: &str) -> std::borrow::Cow<'_, str> {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if is_formula { format!("'{cell}").into() } else { cell.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cells: &[&str]) -> String {
        String::from_utf8(rows([cells]).unwrap()).unwrap()
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, want) in [
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\"\n"),
            ("+1", "'+1\n"),
            ("-1", "'-1\n"),
            ("@SUM(A1)", "'@SUM(A1)\n"),
            ("\t=1", "'\t=1\n"),
            ("\r=1", "\"'\r=1\"\n"),
            ("\n=1", "\"'\n=1\"\n"),
            ("＝1", "'＝1\n"),
            ("a=1", "a=1\n"),
            ("", "\"\"\n"),
            ("2026-11-01T12:00:00Z", "2026-11-01T12:00:00Z\n"),
        ] {
            assert_eq!(text(&[cell]), want, "{cell:?}");
        }
        assert_eq!(text(&["a,b", "c\"d", "", "ż"]), "\"a,b\",\"c\"\"d\",,ż\n");
    }
}
