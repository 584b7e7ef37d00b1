//! A form that was sent: its sender, its fields, and the checks that it passed.

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, RawForm, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::actions::app::App;
use crate::auth;
use crate::domain::{HashedSecret, PlainSecret};
use crate::http::client::ClientInfo;
use crate::http::query::Query;
use crate::ui::error::PageError;
use crate::ui::refusal::Refusal;
use crate::ui::sealed;
use crate::ui::sealed::{Opened, Pending};
use crate::ui::visitor::Visitor;

/// A form that came in, with fields of type `T`.
pub(in crate::ui) struct Submission<T> {
    /// The head of its request.
    pub parts: Parts,
    /// Who sent it.
    pub visitor: Visitor,
    /// Its fields.
    pub form: T,
    /// The same, URL-encoded.
    body: Bytes,
    /// The proof that it is a form of this site.
    proof: String,
}

/// A form that consists of a button.
#[derive(Deserialize)]
pub(in crate::ui) struct NoFields {}

/// A form of which a field may come several times, such as boxes to tick.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::ui) struct ManyFields(Vec<(String, String)>);

impl ManyFields {
    /// Its fields, in order.
    pub fn query(self) -> Query {
        Query::of(self.0)
    }
}

#[derive(Deserialize)]
struct ProofField {
    #[serde(default)]
    proof: String,
}

impl<T: DeserializeOwned> Submission<T> {
    /// Reads a form, of a signed-in user or not. Its proof is not checked: for pages that show the
    /// form again when [`examine`](Self::examine) refuses it.
    ///
    /// # Errors
    /// [`PageError::TooLarge`]; [`PageError::Forged`] when the body is no form, or not one of such fields.
    pub async fn read(app: &App, request: Request) -> Result<Self, PageError> {
        let (parts, body) = request.into_parts();
        let body = match RawForm::from_request(Request::from_parts(parts.clone(), body), &()).await {
            Ok(RawForm(body)) => body,
            Err(error) => {
                let status = axum::response::IntoResponse::into_response(error).status();
                return Err(unreadable(&parts, status, "the body is no form"));
            }
        };
        let ProofField { proof } = decode(&parts, &body).await?;
        let form = decode(&parts, &body).await?;
        let visitor = Visitor::of(app, &parts).await?;
        Ok(Self { parts, visitor, form, body, proof })
    }

    /// Reads a form, of a signed-in user or not, which must be one of this site's.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`PageError::Forged`].
    pub async fn of_anybody(app: &App, request: Request) -> Result<Self, PageError> {
        let submission = Self::read(app, request).await?;
        submission.check(app)?;
        Ok(submission)
    }

    /// Reads a form of a user who is signed in; `back` is the page it belongs to.
    ///
    /// # Errors
    /// As [`of_anybody`](Self::of_anybody), and as [`Visitor::signed_in`]. A form of a session that must
    /// be proved anew is done after `/confirm`: [`PageError::Interrupted`].
    pub async fn signed_in(app: &App, request: Request, back: &str) -> Result<Self, PageError> {
        let submission = Self::read(app, request).await?;
        match submission.visitor.signed_in(back) {
            Err(PageError::Unconfirmed(_)) => return Err(submission.interrupt(app, back)),
            is_signed_in => is_signed_in.map(|_| ())?,
        }
        submission.check(app)?;
        Ok(submission)
    }

    /// Reads a form of a signed-in user with a recent re-authentication.
    ///
    /// # Errors
    /// As [`signed_in`](Self::signed_in). Without a fresh proof the form is done after `/confirm`:
    /// [`PageError::Interrupted`].
    pub async fn confirmed(app: &App, request: Request, back: &str) -> Result<Self, PageError> {
        let submission = Self::signed_in(app, request, back).await?;
        submission.must_be_confirmed(app, back)?;
        Ok(submission)
    }

    /// The same for the few pages that also serve users who still lack their second factor.
    ///
    /// # Errors
    /// As [`confirmed`](Self::confirmed).
    pub async fn confirmed_at_all(app: &App, request: Request, back: &str) -> Result<Self, PageError> {
        let submission = Self::read(app, request).await?;
        match submission.visitor.signed_in_at_all(back) {
            Err(PageError::Unconfirmed(_)) => return Err(submission.interrupt(app, back)),
            is_signed_in => is_signed_in.map(|_| ())?,
        }
        submission.check(app)?;
        submission.must_be_confirmed(app, back)?;
        Ok(submission)
    }

    /// Asks for a re-authentication, for forms that need one only in some cases.
    ///
    /// # Errors
    /// [`PageError::Interrupted`].
    pub fn must_be_confirmed(&self, app: &App, back: &str) -> Result<(), PageError> {
        match self.visitor.confirmed_at_all(app, back) {
            Err(PageError::Unconfirmed(_)) => Err(self.interrupt(app, back)),
            is_confirmed => is_confirmed.map(|_| ()),
        }
    }

    /// Checks that the form is one of this site's. A refusal is in the log.
    ///
    /// # Errors
    /// [`PageError::Forged`].
    pub fn check(&self, app: &App) -> Result<(), PageError> {
        self.visitor.check(app, &self.parts.headers, &self.proof)
    }

    /// The same for pages that show their form again.
    ///
    /// # Errors
    /// The cause.
    pub fn examine(&self, app: &App) -> Result<(), Refusal> {
        self.visitor.examine(app, &self.parts.headers, &self.proof)
    }

    /// The hashes of the session keys that the form came with.
    pub fn keys(&self, app: &App) -> Vec<HashedSecret> {
        auth::session_keys(app, &self.parts.headers).iter().map(PlainSecret::hash).collect()
    }

    /// Seals the form, to be done after a re-authentication. A form of another site is refused
    /// first.
    fn interrupt(&self, app: &App, back: &str) -> PageError {
        if let Err(error) = self.check(app) {
            return error;
        }
        let Some(session) = self.visitor.session.as_ref().or(self.visitor.unproved.as_ref()) else {
            return PageError::Internal;
        };
        let path = self.parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        match sealed::seal(app, session.uuid, &Opened { path, body: self.body.to_vec() }) {
            Ok(sealed) => PageError::Interrupted(Box::new(Pending { sealed, back: back.to_owned() })),
            Err(_) => PageError::Internal,
        }
    }
}

/// Reads fields from a form's body.
async fn decode<T: DeserializeOwned>(parts: &Parts, body: &Bytes) -> Result<T, PageError> {
    let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
    match Form::<T>::from_request(request, &()).await {
        Ok(Form(form)) => Ok(form),
        Err(error) => Err(unreadable(parts, error.status(), &error.to_string())),
    }
}

fn unreadable(parts: &Parts, status: StatusCode, why: &str) -> PageError {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return PageError::TooLarge;
    }
    let refusal = Refusal::Incomplete(why.to_owned());
    if let Some(client) = parts.extensions.get::<ClientInfo>() {
        refusal.log(client);
    }
    PageError::Forged(refusal)
}
