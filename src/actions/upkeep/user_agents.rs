//! Parsed user agents follow the rules: after an update, entries that older rules read are parsed again.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::store::StoreError;

/// How many entries are read in one step.
const STEP: i64 = 100;

/// Reads again the user agents that other rules than those in use read.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn refresh(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let mut is_behind = false;
    loop {
        let rules = app.user_agents.fingerprint();
        let rows = app.store.read().list_user_agents_of_other_rules(&rules, STEP).await?;
        let is_last = rows.len() < usize::try_from(STEP).unwrap_or(usize::MAX);
        if rows.is_empty() && !is_behind {
            return Ok(());
        }
        let parser = std::sync::Arc::clone(&app.user_agents);
        let parsed =
            tokio::task::spawn_blocking(move || rows.into_iter().map(|row| (row.id, parser.parse(&row.text))).collect::<Vec<_>>());
        let parsed = parsed.await.map_err(|error| StoreError::Failed(error.to_string()))?;
        app.store
            .write(move |db| {
                Box::pin(async move {
                    for (id, parts) in &parsed {
                        db.update_user_agent(*id, parts, &rules).await?;
                    }
                    // Once, with the last step: every node reads all sessions again for it.
                    if is_last {
                        db.restart_changes().await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await?;
        app.user_agents.forget();
        if is_last {
            return Ok(());
        }
        is_behind = true;
    }
}
