//! Ended sessions at the command line: `rollcall session list --ended`, `rollcall export --ended`.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::actions::app::App;
use crate::actions::sessions::records::{ENDED_COLUMNS, cell, cells, ended_records};
use crate::cli::{Failure, NothingMatched, Outcome, misused, output};
use crate::domain::listing::{EndedFilter, EndedSortKey, Sort};
use crate::domain::page::Wanted;
use crate::domain::{EndReason, Timestamp};

/// Which ended sessions: what sessions that are live have no answer to.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct EndedArgs {
    /// Sessions that ended, the latest first
    #[arg(long)]
    pub ended: bool,
    /// With --ended: for this reason
    #[arg(long, requires = "ended", value_name = "WORD", value_parser = PossibleValuesParser::new(EndReason::ALL.map(EndReason::as_str)))]
    reason: Option<String>,
    /// With --ended: ended by this user, by cli or by system
    #[arg(long, requires = "ended", value_name = "NAME")]
    ended_by: Option<String>,
    /// With --ended: at this instant or later
    #[arg(long, requires = "ended", value_name = "INSTANT", value_parser = instant)]
    ended_from: Option<Timestamp>,
    /// With --ended: at this instant or earlier
    #[arg(long, requires = "ended", value_name = "INSTANT", value_parser = instant)]
    ended_to: Option<Timestamp>,
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).ok_or("this is no instant")
}

impl EndedArgs {
    /// The filter of a query with these flags.
    ///
    /// # Errors
    /// Wrong usage: a flag and the query both say something of one kind.
    pub(super) fn read(&self, mut filter: EndedFilter) -> Result<EndedFilter, Failure> {
        let twice = |flag: &str| misused(format!("{flag} and the query both say it: one of the two is enough"));
        if let Some(reason) = self.reason.as_deref().and_then(EndReason::parse)
            && filter.reason.replace(reason).is_some()
        {
            return Err(twice("--reason"));
        }
        if let Some(name) = &self.ended_by
            && filter.ended_by.replace(name.clone()).is_some()
        {
            return Err(twice("--ended-by"));
        }
        for (flag, given, bound) in
            [("--ended-from", self.ended_from, &mut filter.ended_gte), ("--ended-to", self.ended_to, &mut filter.ended_lte)]
        {
            if let Some(at) = given
                && bound.replace(at).is_some()
            {
                return Err(twice(flag));
            }
        }
        Ok(filter)
    }
}

/// Reads an order of ended sessions.
///
/// # Errors
/// Wrong usage that says which name is not known, or is there twice.
pub(super) fn orders(text: &str) -> Result<Vec<Sort<EndedSortKey>>, Failure> {
    let mut sorts: Vec<Sort<EndedSortKey>> = Vec::new();
    for name in text.split(',').map(str::trim) {
        let (plain, is_descending) = name.strip_prefix('-').map_or((name, false), |rest| (rest, true));
        let key = EndedSortKey::parse(plain).filter(|key| sorts.iter().all(|sort| sort.key != *key));
        let key = key.ok_or_else(|| misused(format!("--ordering: there is no order {name:?}")))?;
        sorts.push(Sort { key, is_descending });
    }
    Ok(sorts)
}

/// Lists ended sessions.
///
/// # Errors
/// When nothing matches a filter; else when the database does not answer.
pub(super) async fn list(
    app: &App,
    filter: &EndedFilter,
    sorts: &[Sort<EndedSortKey>],
    limit: i64,
    (is_json, is_csv): (bool, bool),
) -> Outcome {
    let found = app.store.page(filter, sorts, Wanted::first(limit)).await?;
    if found.count == 0 && *filter != EndedFilter::default() {
        return Err(NothingMatched("session").into());
    }
    let records = ended_records(app, &found.rows).await?;
    if is_json {
        for record in &records {
            output::line(&serde_json::to_string(record)?)?;
        }
        return Ok(());
    }
    if is_csv {
        let rows: Vec<Vec<String>> = records.iter().map(|record| cells(record, ENDED_COLUMNS)).collect();
        return output::csv(ENDED_COLUMNS, &rows);
    }
    let header = ["uuid", "username", "last_ip", "browser", "ended", "ended_by", "reason"];
    let rows = records.iter().map(|record| header.map(|name| cell(record, name)).to_vec()).collect();
    output::table(&header, rows)?;
    let (shown, count) = (i64::try_from(found.rows.len()).unwrap_or(found.count), found.count);
    if shown < count {
        let at_least = if found.is_exact { "" } else { "at least " };
        output::say(&format!("{shown} of {at_least}{count} sessions; --limit shows more"));
    }
    Ok(())
}
