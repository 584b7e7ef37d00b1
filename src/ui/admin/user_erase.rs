//! `/users/{id}/erase`: erases a user and what is kept of them; and `/users/{id}/keep`, which declines to remove a user
//! who asked for it.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Redirect};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::{account, privacy, users};
use crate::ui::admin::user::{PATH, asked_about, last_administrator, path, question_of_end, user_id};
use crate::ui::error::PageError;
use crate::ui::submission::{NoFields, Submission};
use crate::ui::{PageResult, Section, question};

/// Asks before a user is erased.
pub async fn ask(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (visitor, user) = asked_about(&app, &id, request).await?;
    let then = [
        "The user is gone with all that is theirs. Ended sessions go, and events stay without the name, the addresses and the \
         details.",
        "Others who had this name before and were removed are erased with them. This cannot be undone.",
    ];
    let question = question_of_end(&app, user, ("Erase", "erase"), &then).await?;
    Ok(question::ask(&app, &visitor, Section::Users, question))
}

/// Erases a user. Nobody erases themselves here: that is on the page of one's own account.
pub async fn submit(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let id = user_id(&id)?;
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &path(id)).await?;
    let who = visitor.principal(PATH)?;
    who.must_administer()?;
    if who.user_id == id {
        return Err(PageError::Forbidden);
    }
    let actor = visitor.actor();
    let user = users::find_by_id(&app, By::Principal(&who, &actor), id).await?;
    match privacy::erase(&app, By::Principal(&who, &actor), &user.username).await {
        Ok(_) => Ok(Redirect::to(PATH).into_response()),
        Err(ActionError::LastAdministrator) => last_administrator(&app, &visitor, user).await,
        Err(error) => Err(error.into()),
    }
}

/// Declines to remove a user who asked for it.
pub async fn decline(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let id = user_id(&id)?;
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &path(id)).await?;
    let who = visitor.principal(PATH)?;
    account::decline_removal(&app, By::Principal(&who, &visitor.actor()), id).await?;
    Ok(Redirect::to(&path(id)).into_response())
}
