//! Resolves the names in a filter of the search language to their stored spelling, for the pages
//! and the command line.

use crate::actions::app::App;
use crate::domain::listing::SessionFilter;
use crate::store::StoreError;
use crate::store::sessions::facets::Family;

/// The same filter; the families of browser, system and device are spelled as the dictionary of user agents
/// spells them, whatever their letter case was. One that it does not have stays as it is, and matches
/// nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn spelled(app: &App, mut filter: SessionFilter) -> Result<SessionFilter, StoreError> {
    let db = app.store.read();
    let kinds = [(Family::Browser, &mut filter.browser), (Family::System, &mut filter.os), (Family::Device, &mut filter.device)];
    for (kind, family) in kinds {
        if let Some(text) = family
            && let Some(spelled) = db.find_family(kind, text).await?
        {
            *family = Some(spelled);
        }
    }
    Ok(filter)
}
