//! `/users/{id}/erase`: erases a user and what is kept of them; and `/users/{id}/keep`, which declines to remove a user
//! who asked for it.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Redirect};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::{account, privacy, users};
use crate::ui::admin::user::{PATH, last_administrator, path, user_id};
use crate::ui::error::PageError;
use crate::ui::question::Question;
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::{isolate, plural};
use crate::ui::{PageResult, Section, question};

/// Asks before a user is erased.
pub async fn ask(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.confirmed(&app, parts.uri.path())?;
    let id = user_id(&id)?;
    let who = visitor.principal(PATH)?;
    who.must_administer()?;
    let user = users::find_by_id(&app, By::Principal(&who, &visitor.actor()), id).await?;
    let (count, listed) = question::sessions(&app, id, None).await?;
    let tokens = app.store.read().list_tokens(Some(id)).await?.len();
    let question = Question {
        verb: "Erase",
        follows: vec![
            question::sessions_end(count, &isolate(&user.username)),
            format!("{tokens} token{} stop{} working.", plural(tokens), if tokens == 1 { "s" } else { "" }),
            "The user is gone with all that is theirs. Ended sessions go, and events stay without the name, the addresses and the \
             details."
                .into(),
            "Others who had this name before and were removed are erased with them. This cannot be undone.".into(),
        ],
        heading: "These sessions will end",
        listed,
        count,
        action: format!("{}/erase", path(id)),
        fields: Vec::new(),
        back: (path(id), user.username.clone()),
        object: user.username,
    };
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
