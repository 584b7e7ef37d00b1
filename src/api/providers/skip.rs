//! `skip_path_regex`: lines that are plain prefixes become a rule that lets anyone in. Another line is refused, since
//! there are no regular expressions here.

use crate::domain::application::demand::{Allow, DemandChange};
use crate::domain::application::guard::PathRule;
use crate::domain::application::path::PathPattern;

/// The rule of these lines; `None` for none.
///
/// # Errors
/// The first line that is no plain prefix.
pub fn rule(lines: &str) -> Result<Option<PathRule>, String> {
    let mut paths = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        paths.push(pattern(line).ok_or_else(|| line.to_owned())?);
    }
    let demand = DemandChange { allow: Some(Allow::Anyone), ..DemandChange::default() };
    Ok((!paths.is_empty()).then(|| PathRule { paths, demand, ..PathRule::default() }))
}

/// `^/public`, `/public/`, `^/public/.*` → `/public/**`; with `$` at the end the path itself. What it fits, the regular
/// expression fits too, but for the path without the slash at its end.
fn pattern(line: &str) -> Option<PathPattern> {
    let path = line.strip_prefix('^').unwrap_or(line);
    let (path, is_exact) = match path.strip_suffix('$') {
        Some(path) => (path, !path.ends_with(".*")),
        None => (path, false),
    };
    let path = path.strip_suffix(".*").unwrap_or(path).replace("\\.", ".").replace("\\-", "-");
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~' | '@' | ',' | '=' | ':');
    if !path.starts_with('/') || !path.chars().all(is_plain) {
        return None;
    }
    let text = if is_exact { path } else { format!("{}/**", path.trim_end_matches('/')) };
    PathPattern::parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_prefixes_become_paths() {
        for (line, path) in [
            ("^/public", "/public/**"),
            ("/public/", "/public/**"),
            ("^/public/.*", "/public/**"),
            ("^/public/.*$", "/public/**"),
            ("^/favicon\\.ico$", "/favicon.ico"),
            ("^/$", "/"),
            ("^/.*", "/**"),
        ] {
            assert_eq!(pattern(line).map(|pattern| pattern.to_string()).as_deref(), Some(path), "{line}");
        }
        for bad in ["public", "^/a|b", "/a+", "^/(a|b)", "/[a-z]", "^/a.*b", "/a?", "\\/a", ".*"] {
            assert_eq!(pattern(bad), None, "{bad}");
        }
        let lines = rule("^/a\n\n  ^/b$\n").unwrap().unwrap();
        assert_eq!((lines.paths.len(), lines.demand.allow), (2, Some(Allow::Anyone)));
        assert_eq!(rule("^/a\n^/(b)"), Err("^/(b)".into()));
        assert_eq!(rule(" \n"), Ok(None));
    }
}
