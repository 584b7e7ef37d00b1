//! Which application an event is about.

use crate::domain::event::EventContent;

impl EventContent {
    /// The slug of the application that it is about, or `""`.
    #[must_use]
    pub fn application(&self) -> &str {
        match self {
            Self::ApplicationAdded { application, .. }
            | Self::ApplicationChanged { application, .. }
            | Self::ApplicationRemoved { application, .. }
            | Self::ApplicationOpened { application, .. }
            | Self::AccessRefused { application, .. }
            | Self::ClientSecretAdded { application }
            | Self::ClientSecretRemoved { application }
            | Self::ConsentGiven { application, .. }
            | Self::ConsentWithdrawn { application, .. }
            | Self::TokenReused { application, .. }
            | Self::NoticeGivenUp { application, .. }
            | Self::IdentityTooLarge { application, .. }
            | Self::AppSessionEnded { application, .. } => application,
            _ => "",
        }
    }
}
