//! What a call of an action came to.

use rollcall::actions::ActionError;
use rollcall::actions::backup::BackupError;
use rollcall::actions::import::ImportError;
use rollcall::actions::sessions::end_matching::EndError;
use rollcall::actions::signing::rotate::RotateError;
use rollcall::actions::watch::accept::{AcceptError, Offer};
use rollcall::actions::watch::error::PollError;
use rollcall::domain::Timestamp;
use rollcall::domain::source::{CopyState, SourceId};
use rollcall::store::watch::sources::{SourceRow, SourceStatus};
use rollcall::watch::answer::SeenOwner;

/// What a call came to.
pub trait Outcome {
    /// Whether it was refused.
    fn refused(self) -> bool;
}

fn is_refusal(error: &ActionError) -> bool {
    matches!(error, ActionError::Forbidden | ActionError::NotFound)
}

impl<T> Outcome for Result<T, ActionError> {
    fn refused(self) -> bool {
        self.is_err_and(|error| is_refusal(&error))
    }
}

impl<T> Outcome for Result<T, ImportError> {
    fn refused(self) -> bool {
        matches!(self, Err(ImportError::Forbidden))
    }
}

macro_rules! outcomes {
    ($($error:ident),+) => {$(
        impl<T> Outcome for Result<T, $error> {
            fn refused(self) -> bool {
                matches!(self, Err($error::Action(error)) if is_refusal(&error))
            }
        }
    )+};
}
outcomes!(BackupError, EndError, PollError, RotateError);

impl<T> Outcome for Result<T, AcceptError> {
    fn refused(self) -> bool {
        matches!(self, Err(AcceptError::Poll(PollError::Action(error))) if is_refusal(&error))
    }
}

/// Nothing is found of what one may not know of.
impl<T> Outcome for Result<Option<T>, rollcall::store::StoreError> {
    fn refused(self) -> bool {
        matches!(self, Ok(None))
    }
}

/// Another authentik, which nobody saw.
pub fn offer() -> Offer {
    let status = SourceStatus {
        version: String::new(),
        owner_pk: 1,
        owner_uid: "uid".to_owned(),
        state: CopyState::Fresh,
        detail: String::new(),
        total: 0,
        seen_at: Timestamp(0),
        swept_at: Timestamp(0),
        newest_used_at: Timestamp(0),
        clock_ahead: 0,
    };
    let source = SourceRow { id: SourceId(1), name: "authentik".into(), url: "https://a.example".into(), instance: 0, status };
    let owner = SeenOwner { pk: 1, username: "other".into(), is_superuser: false, uid: "other".into() };
    Offer { url: "https://b.example".into(), owner, version: String::new(), visible: 0, source, copied: 0 }
}
