//! `/account/remove`: how a user's own account goes: an administrator is asked, or it is erased at once
//! (`account.removal`).

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};

use crate::actions::app::App;
use crate::actions::people::{account, privacy};
use crate::auth;
use crate::domain::user::OwnRemoval;
use crate::ui::account::profile::PATH;
use crate::ui::error::PageError;
use crate::ui::question::Question;
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::plural;
use crate::ui::{Frame, PageResult, Section, page, question};

const REMOVE: &str = "/account/remove";

#[derive(Template)]
#[template(path = "pages/account_gone.html")]
struct GonePage {
    frame: Frame,
    /// Whether what was erased is out of the database's log, too.
    is_log_empty: bool,
}

/// Asks first.
pub async fn ask(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.signed_in(REMOVE)?;
    let removal = app.config.account.removal;
    if removal == OwnRemoval::Off {
        return Err(PageError::NotFound);
    }
    let session = visitor.confirmed(&app, REMOVE)?;
    if removal == OwnRemoval::Ask {
        let question = Question {
            verb: "Ask",
            object: "to be removed".to_owned(),
            follows: vec![
                "The administrators see that you asked. You stay signed in, and nothing goes before one of them removes you."
                    .into(),
                "You can take it back on the page of your account until then.".into(),
            ],
            heading: "",
            listed: Vec::new(),
            count: 0,
            action: REMOVE.into(),
            fields: Vec::new(),
            back: (PATH.into(), "My account".into()),
        };
        return Ok(question::ask(&app, &visitor, Section::Account, question));
    }
    let (count, listed) = question::sessions(&app, session.user_id, None).await?;
    let tokens = app.store.read().list_tokens(Some(session.user_id)).await?.len();
    let question = Question {
        verb: "Erase",
        object: "my account".to_owned(),
        follows: vec![
            "You are signed out everywhere, and cannot sign in again.".into(),
            format!("{tokens} token{} stop{} working.", plural(tokens), if tokens == 1 { "s" } else { "" }),
            "What is kept of your past sessions goes, and your name, addresses and details go out of the record of events.".into(),
            "This cannot be undone. Apps keep what they know about you themselves.".into(),
        ],
        heading: "These sessions will end",
        listed,
        count,
        action: REMOVE.into(),
        fields: Vec::new(),
        back: (PATH.into(), "My account".into()),
    };
    Ok(question::ask(&app, &visitor, Section::Account, question))
}

/// Asks the administrators, or erases the account.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<NoFields>::signed_in(&app, request, REMOVE).await?;
    let removal = app.config.account.removal;
    if removal == OwnRemoval::Off {
        return Err(PageError::NotFound);
    }
    submission.must_be_confirmed(&app, REMOVE)?;
    let Submission { parts, visitor, .. } = submission;
    let session = visitor.signed_in(REMOVE)?;
    if removal == OwnRemoval::Ask {
        account::ask_removal(&app, session, &visitor.actor()).await?;
        return Ok(Redirect::to("/account?done=asked").into_response());
    }
    let erased = privacy::erase_own(&app, session).await?;
    let mut response = page(StatusCode::OK, &GonePage { frame: Frame::bare(), is_log_empty: erased.is_log_empty });
    auth::forget_session(&app, &parts.headers, response.headers_mut(), true);
    Ok(response)
}

/// Takes back that the user asked to be removed.
pub async fn keep(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, .. } = Submission::<NoFields>::signed_in(&app, request, PATH).await?;
    account::withdraw_removal(&app, visitor.signed_in(PATH)?, &visitor.actor()).await?;
    Ok(Redirect::to("/account?done=kept").into_response())
}
